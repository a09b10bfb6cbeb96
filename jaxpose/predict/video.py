"""Poses in a video or from a camera: a video with the poses drawn, and a JSON file of frames."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pathlib
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from jaxpose import draw
from jaxpose.files import write_atomic
from jaxpose.poses import Poses
from jaxpose.predict.document import frame_record, video_document
from jaxpose.skeletons import Skeleton

if TYPE_CHECKING:
    import cv2

SUFFIXES = (".mp4", ".json")  # of the files that are written
CODEC = "mp4v"  # MPEG-4, which OpenCV writes on every platform
_DEFAULT_RATE = 25.0  # frames per second where the file gives none
_MEASURED = 10  # frames from which the rate of a camera is measured
_INTERVAL = 5.0  # seconds between progress lines that are not on a terminal


class VideoError(ValueError):
    """A video or camera cannot be read; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of predicting a video.

    Attributes:
      frames: number of frames that were read and written.
      predicted: number of frames whose poses were estimated.
      people: number of people in these.
      announced: number of frames according to the file; None if unknown.
      speed: frames per second after the first, which includes compilation.
      interrupted: whether Ctrl-C ended it.
      rate_missing: whether the file gives no frame rate.
    """

    frames: int
    predicted: int
    people: int
    announced: int | None
    speed: float
    interrupted: bool
    rate_missing: bool


class Video:
    """An open video file or camera.

    Args:
      source: path of a file, or number of a camera.

    Attributes:
      name: for messages and file names.
      rate: frames per second; None for a camera, or if the file gives none.
      announced: number of frames according to the file, which may be wrong; None if unknown.

    Raises:
      VideoError: there is no such camera, or no frame can be decoded.
    """

    def __init__(self, source: pathlib.Path | int):
        import cv2

        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # errors are reported here
        self.is_camera = isinstance(source, int)
        self.name = f"camera {source}" if self.is_camera else str(source)
        with _quiet():
            self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
            read, self._first = self._capture.read()  # (False, None) if it is not open
        if not read:
            self._capture.release()
            if self.is_camera:
                raise VideoError(f"--camera {source}: no such camera, or another program uses it")
            raise VideoError(f"{source}: cannot be decoded, neither as an image nor as a video")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        valid = not self.is_camera and math.isfinite(rate) and 0 < rate <= 1000
        self.rate = rate if valid else None
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        valid = not self.is_camera and math.isfinite(count) and 0 < count < 1e9
        self.announced = int(count) if valid else None

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields the time in seconds and the image, uint8 RGB [H, W, 3], of each frame."""
        import cv2

        start, last, index = time.perf_counter(), -1.0, 0
        frame: np.ndarray | None = self._first
        while frame is not None:
            if self.is_camera:
                seconds = time.perf_counter() - start
            else:
                seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if not last < seconds < 1e9:  # the format has no times
                    seconds = index / (self.rate or _DEFAULT_RATE)
            yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            with _quiet():
                read, frame = self._capture.read()
            last, index = seconds, index + 1
            if not read:
                return

    def close(self) -> None:
        """Releases the file or the camera."""
        self._capture.release()


def predict_video(
    video: Video,
    predict: Callable[[np.ndarray], Poses],
    skeleton: Skeleton,
    output: pathlib.Path,
    *,
    every: int = 1,
    threshold: float = 0.2,
) -> Summary:
    """Writes a video with the poses drawn, and a JSON file with the poses per frame.

    Frames between the predicted ones show the last poses and have no record in the JSON file.
    Ctrl-C ends the video; what was read until then is written. Before the first frame is written,
    nothing is, and KeyboardInterrupt is raised.

    Args:
      video: the open source; it is closed.
      predict: image -> poses.
      skeleton: keypoints of the poses.
      output: the files to write, without suffix.
      every: interval between predicted frames.
      threshold: minimum score of a keypoint to be drawn.

    Raises:
      VideoError: the video cannot be written.
    """
    rate = video.rate or (None if video.is_camera else _DEFAULT_RATE)
    part = output.with_name(f".{output.name}.{os.getpid()}.part.mp4")
    writer, progress = _Writer(part, rate), _Progress(video.name, video.announced)
    records: list[str] = []
    frames = people = 0
    size, interrupted = (0, 0), False
    try:
        try:
            for seconds, image in video.frames():
                if frames % every == 0:
                    poses = predict(image)
                    records.append(frame_record(frames, seconds, poses))
                    people += len(poses)
                size = size if frames else image.shape[:2]
                writer.write(draw.draw_poses(image, poses, skeleton, threshold))
                frames += 1
                progress.show(frames)
        except KeyboardInterrupt:
            if not frames:
                raise  # nothing to keep
            interrupted = True
        writer.close()
        complete = _is_complete(part)
        if complete:
            os.replace(part, f"{output}.mp4")
        document = video_document(video.name, size, writer.rate, every, records, skeleton)
        write_atomic(pathlib.Path(f"{output}.json"), document)
        if not complete:
            raise VideoError(f"{output}.mp4 could not be written completely; the disk may be full")
    finally:
        progress.end()
        video.close()
        writer.close()
        part.unlink(missing_ok=True)
    return Summary(
        frames,
        len(records),
        people,
        video.announced,
        progress.speed,
        interrupted,
        rate_missing=not video.is_camera and video.rate is None,
    )


def _is_complete(path: pathlib.Path) -> bool:
    """Whether an MP4 file has its index, which is written last. OpenCV reports no failed write.

    Source: ISO/IEC 14496-12, section 4.2: the file is a list of boxes with their length and type.
    """
    if not path.exists():
        return False
    size, place, kinds = path.stat().st_size, 0, set()
    with open(path, "rb") as file:
        while place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # 64 bits follow
                (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            if length < 8:
                return False
            kinds.add(kind)
            place += length
    return place == size and b"moov" in kinds


class _Writer:
    """Writes RGB frames; if no rate is given, it is measured on the first frames."""

    def __init__(self, path: pathlib.Path, rate: float | None):
        self._path, self._rate = path, rate
        self._file: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._kept: list[tuple[float, np.ndarray]] = []

    @property
    def rate(self) -> float:
        return self._rate or _DEFAULT_RATE

    def write(self, image: np.ndarray) -> None:
        if self._rate is not None:
            self._write(image)
            return
        self._kept.append((time.perf_counter(), image))
        if len(self._kept) > _MEASURED:  # the first one took the time of the compilation
            self._flush()

    def close(self) -> None:
        """Completes the file."""
        if self._kept:
            self._flush()
        if self._file is not None:
            self._file.release()
            self._file = None

    def _flush(self) -> None:
        kept, self._kept = self._kept, []
        if len(kept) > 1:
            elapsed = kept[-1][0] - kept[0][0]
            self._rate = round(min(max((len(kept) - 1) / max(elapsed, 1e-3), 1.0), 120.0), 2)
        for _, image in kept:
            self._write(image)

    def _write(self, image: np.ndarray) -> None:
        import cv2

        height, width = image.shape[:2]
        if self._file is None:
            self._size = (width + width % 2, height + height % 2)  # the codec takes even sides
            code = cv2.VideoWriter.fourcc(*CODEC)
            with _quiet():
                self._file = cv2.VideoWriter(str(self._path), code, self.rate, self._size)
            if not self._file.isOpened():
                raise VideoError(f"{self._path.parent}: OpenCV cannot write a video in this folder")
        frame = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        bottom, right = self._size[1] - height, self._size[0] - width
        if bottom in (0, 1) and right in (0, 1):
            frame = cv2.copyMakeBorder(frame, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        else:  # the frame size changes within the video
            frame = cv2.resize(frame, self._size)
        self._file.write(frame)


class _Progress:
    """A line on stderr: frames done, their number, frames per second."""

    def __init__(self, name: str, total: int | None):
        self._name, self._total = name, total
        self._first = self._shown = time.perf_counter()
        self._last, self._done = self._first, 0
        self._terminal = sys.stderr.isatty()
        self._open = False

    @property
    def speed(self) -> float:
        """Frames per second after the first frame."""
        return (self._done - 1) / max(self._last - self._first, 1e-9) if self._done > 1 else 0.0

    def show(self, done: int) -> None:
        now = time.perf_counter()
        if done == 1:
            self._first = now
        self._last, self._done = now, done
        if now - self._shown < (0.2 if self._terminal else _INTERVAL):
            return
        self._shown, self._open = now, self._terminal
        total = f"/{self._total}" if self._total else ""
        text = f"{self._name}: {done}{total} frames, {self.speed:.1f} frames/s"
        line = f"\r{text} " if self._terminal else f"{text}\n"
        print(line, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Ends the line on a terminal."""
        if self._open:
            print(file=sys.stderr)
            self._open = False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences OpenCV's own warnings."""
    import cv2

    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
