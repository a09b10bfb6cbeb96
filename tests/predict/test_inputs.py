"""What predict reads and ignores, and the names of what it writes."""

import pathlib

import cv2
import numpy as np
import pytest

from jaxpose.predict.inputs import Input, assign_names, collect, describe, output_paths


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix if path.suffix in (".png", ".gif", ".jp2") else ".png"
        path.write_bytes(cv2.imencode(suffix, np.zeros((64, 64, 3), np.uint8))[1].tobytes())


def relative(inputs):
    return [file.relative.as_posix() for file in inputs.images]


def test_images_are_known_by_their_content(tmp_path):
    write(tmp_path, "a.png", "b.gif", "c.jfif", "d.jp2", "e", ".hidden", "sub/f.png")
    for name in ("broken.jpg", "photo.heic", "notes.txt", "._a.jpg", "empty"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"text")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    inputs = collect([tmp_path], output=tmp_path / "out", recursive=False)
    expected = ".hidden a.png b.gif broken.jpg c.jfif d.jp2 e gone.png photo.heic".split()
    assert relative(inputs) == expected and not inputs.videos
    words = "3 other files, 1 subfolder (--recursive includes it)"
    assert describe(inputs.passed_over) == words


def test_subfolders_are_walked_on_request(tmp_path):
    write(tmp_path, "a.png", "sub/a.png", "sub/deep/b.png", "out/a.jpg")
    (tmp_path / "sub" / "back").symlink_to(tmp_path)
    inputs = collect([tmp_path], output=tmp_path / "out", recursive=True)
    assert relative(inputs) == ["a.png", "sub/a.png", "sub/deep/b.png"]
    assert describe(inputs.passed_over) == "1 linked subfolder, 1 output folder"


def test_missing_and_empty_inputs_are_named(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="none.jpg: no such file or folder"):
        collect([tmp_path / "none.jpg"], output=out, recursive=False)
    write(tmp_path, "sub/a.png")
    with pytest.raises(ValueError, match=r"no images in this folder \(1 subfolder \(--recursive"):
        collect([tmp_path], output=out, recursive=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no images in this folder$"):
        collect([tmp_path / "empty"], output=out, recursive=False)


def test_an_image_is_predicted_once_and_another_file_is_a_video(tmp_path, monkeypatch):
    write(tmp_path, "a.png")
    (tmp_path / "v.mp4").write_bytes(b"text")
    monkeypatch.chdir(tmp_path)
    names = [tmp_path, pathlib.Path("a.png"), pathlib.Path("v.mp4")]
    inputs = collect(names, output=tmp_path / "out", recursive=False)
    assert relative(inputs) == ["a.png"]
    assert [file.path for file in inputs.videos] == [pathlib.Path("v.mp4")]


def test_images_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    files = [Input(tmp_path / folder, pathlib.Path("a.jpg")) for folder in ("x", "y/z")]
    files += [Input(tmp_path / "x", pathlib.Path(name)) for name in ("b.jpg", "b.png", "B.JPG")]
    names = assign_names(files)
    expected = ["x/a.jpg", "y/z/a.jpg", "b.jpg", "b.png", "B.JPG"]
    assert [name.as_posix() for name in names] == expected
    taken = [tmp_path / "predictions.json"]
    names = [pathlib.PurePath(name) for name in ("b.jpg", "B.png", "c/b.png", "predictions.mp4")]
    paths = output_paths(tmp_path, names, [".mp4", ".json"], taken)
    expected = ["b", "B_2", "c/b", "predictions_2"]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == expected
