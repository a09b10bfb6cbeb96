"""Videos and cameras: frames, times, what is written, and what cannot be read."""

import dataclasses
import json
import os
import pathlib
import re
import resource

import cv2
import numpy as np
import pytest

from jaxpose import cli
from jaxpose.poses import Poses
from jaxpose.predict import command
from jaxpose.predict import video as recording
from jaxpose.predict.video import Video, VideoError, predict_video
from tests.helpers import seeing

SIZE = (48, 64)
GRAY = 16  # added per frame


def write_video(path, frames=10, rate=10.0):
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, rate, SIZE[::-1])
    for number in range(frames):
        writer.write(np.full((*SIZE, 3), GRAY * number, np.uint8))
    writer.release()
    return path


def brightness(path):
    """The mean of each frame of a video, in multiples of GRAY."""
    capture, means = cv2.VideoCapture(str(path)), []
    while True:
        read, frame = capture.read()
        if not read:
            return means
        means.append(round(frame.mean() / GRAY))


class Predictor:
    """One person per call, whose keypoint is the brightness of the image."""

    def __init__(self, stop_at=None):
        self.calls, self._stop_at = 0, stop_at

    def __call__(self, image):
        assert image.dtype == np.uint8 and image.shape[1:] == (SIZE[1], 3)
        if self.calls == self._stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        value = float(image.mean())
        one = np.ones(1, np.float32)
        return Poses(np.full((1, 3, 2), value), np.full((1, 3), 0.5), np.ones((1, 4)), one)


@pytest.mark.parametrize("every", [1, 3])
def test_every_frame_is_written_and_every_nth_predicted(tmp_path, every, capsys):
    video, predict = Video(write_video(tmp_path / "in.avi")), Predictor()
    assert video.rate == 10 and video.announced == 10
    output = tmp_path / "out" / "in"
    output.parent.mkdir()
    # Keypoints with a score below 2 are not drawn.
    summary = predict_video(video, predict, seeing.DOTS, output, every=every, threshold=2)
    assert summary.frames == summary.announced == 10
    assert summary.people == summary.predicted == predict.calls == len(range(0, 10, every))
    assert summary.speed > 0 and not summary.interrupted and not summary.rate_missing
    content = json.loads((tmp_path / "out" / "in.json").read_text())
    assert (content["height"], content["width"]) == SIZE and content["frames_per_second"] == 10
    assert content["categories"][0]["keypoints"] == list(seeing.DOTS.joints)
    assert content["every"] == every
    for record, number in zip(content["frames"], range(0, 10, every), strict=True):
        assert record["frame"] == number and record["time"] == pytest.approx(number / 10)
        (person,) = record["people"]
        assert person["keypoints"][0] == pytest.approx(GRAY * number, abs=3)
    assert brightness(tmp_path / "out" / "in.mp4") == list(range(10))
    assert sorted(os.listdir(tmp_path / "out")) == ["in.json", "in.mp4"]


def test_an_interrupted_video_keeps_what_was_read(tmp_path):
    video = Video(write_video(tmp_path / "in.avi"))
    summary = predict_video(video, Predictor(stop_at=4), seeing.DOTS, tmp_path / "a", threshold=2)
    assert summary.interrupted and summary.frames == 4
    assert len(json.loads((tmp_path / "a.json").read_text())["frames"]) == 4
    assert brightness(tmp_path / "a.mp4") == [0, 1, 2, 3]


def test_a_failed_prediction_leaves_nothing(tmp_path):
    def fail(image):
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        predict_video(Video(write_video(tmp_path / "in.avi")), fail, seeing.DOTS, tmp_path / "a")
    assert os.listdir(tmp_path) == ["in.avi"]


class Camera:
    """Stands in for cv2.VideoCapture of camera 0: 15 frames of an odd height, no length or rate."""

    def __init__(self, source):
        self.left = 15 if source == 0 else 0

    def read(self):
        self.left -= 1
        return (True, np.full((49, 64, 3), 90, np.uint8)) if self.left >= 0 else (False, None)

    def get(self, key):
        return -1.0

    def release(self):
        pass


def test_a_camera_has_the_rate_that_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    clock = iter(np.arange(0, 100, 0.05))
    monkeypatch.setattr(recording.time, "perf_counter", lambda: float(next(clock)))
    video = Video(0)
    assert video.rate is None and video.announced is None and video.name == "camera 0"
    summary = predict_video(video, Predictor(), seeing.DOTS, tmp_path / "camera0")
    assert summary.frames == 15 and summary.announced is None
    content = json.loads((tmp_path / "camera0.json").read_text())
    # The clock is read three times per frame: for the time, the rate and the progress.
    assert content["frames_per_second"] == pytest.approx(1 / 0.15, rel=0.01)
    assert content["height"] == 49
    monkeypatch.undo()
    written = cv2.VideoCapture(str(tmp_path / "camera0.mp4"))
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 15
    frame = written.read()[1]  # one row more, since the codec takes even sides
    assert frame.shape == (50, 64, 3) and frame[-1].mean() == pytest.approx(90, abs=6)


def test_what_a_file_promises_and_lacks_is_said(tmp_path):
    video = Video(write_video(tmp_path / "in.avi", frames=3))
    summary = recording.Summary(3, 3, 0, 5, 1.0, interrupted=False, rate_missing=True)
    lines = command._describe(video, tmp_path / "out", summary)
    assert lines[0] == f"{tmp_path / 'in.avi'}: only 3 of 5 frames can be decoded"
    assert lines[1].endswith("has no frame rate; the output has 25 frames/s")
    stopped = dataclasses.replace(summary, interrupted=True, rate_missing=False)
    assert len(command._describe(video, tmp_path / "out", stopped)) == 1
    video.close()


def test_the_command(tmp_path, capfd):
    topdown, bottomup = map(str, seeing.write_runs(tmp_path / "runs"))
    film = write_video(tmp_path / "film.avi", frames=4)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    (tmp_path / "notes.txt").write_text("notes")
    out = ["-o", str(tmp_path / "out"), "--no-flip"]
    files = [str(film), str(damaged), str(tmp_path / "notes.txt")]
    assert cli.main(["predict", topdown, *files, *out, "--every", "2", "--people", bottomup]) == 0
    text = capfd.readouterr().out
    assert re.search(
        r"film.mp4: 4 frames \(2 predicted\), \d (person|people), [\d.]+ frames/s\n", text
    )
    assert f"skipped {damaged}: cannot be decoded, neither as an image nor as a video\n" in text
    assert text.splitlines()[-1] == f"skipped {damaged}; skipped {tmp_path / 'notes.txt'}"
    for words, message in (
        ([str(tmp_path / "notes.txt")], "cannot be decoded, neither as an image nor as a video"),
        (["--camera", "77"], "--camera 77: no such camera"),
        ([str(film), "--every", "0"], "--every 0 must be at least 1"),
        ([str(film), "--boxes", str(film)], "--boxes works only with images"),
        ([str(film), "--annotations", str(film)], "give --boxes too"),
    ):
        assert cli.main(["predict", topdown, *words, *out]) == 2
        error = capfd.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert pathlib.Path(tmp_path / "out" / "film.json").is_file()


def test_ctrl_c_before_the_first_frame_writes_nothing(tmp_path):
    video = Video(write_video(tmp_path / "in.avi"))
    with pytest.raises(KeyboardInterrupt):
        predict_video(video, Predictor(stop_at=0), seeing.DOTS, tmp_path / "a")
    assert os.listdir(tmp_path) == ["in.avi"]


def test_a_video_that_does_not_fit_on_the_disk_is_an_error(tmp_path):
    class Noise:
        """Predicts nobody, and makes the frames too large for the limit."""

        def __call__(self, image):
            return Poses(np.zeros((0, 3, 2)), np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0))

    path, noise = tmp_path / "in.avi", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(30):
        writer.write(noise.integers(0, 255, (*SIZE, 3), np.uint8))
    writer.release()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(VideoError, match="a.mp4 could not be written completely"):
            predict_video(Video(path), Noise(), seeing.DOTS, tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(os.listdir(tmp_path)) == ["a.json", "in.avi"]
