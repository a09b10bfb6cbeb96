"""`jaxpose compare`: networks side by side."""

import json

import cv2
import numpy as np
import pytest

from jaxpose import cli
from jaxpose.predict import compare
from tests.helpers import seeing

PEOPLE = np.array([[[20, 20], [30, 34], [40, 48]], [[70, 20], [80, 34], [90, 48]]], float)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(top-down, bottom-up) run folders of networks that detect colored dots."""
    return [str(run) for run in seeing.write_runs(tmp_path_factory.mktemp("runs"))]


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "7.png"), seeing.draw_image(PEOPLE, (64, 128))[..., ::-1])
    return str(tmp_path / "7.png")


@pytest.mark.slow
def test_one_column_per_network(runs, photo, tmp_path, capsys):
    boxes = [{"file_name": "7.png", "bbox": [10, 10, 40, 48], "score": 1.0}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    broken = str(tmp_path / "broken.jpg")
    output = str(tmp_path / "out")
    done = cli.main(
        ["compare", *runs, runs[1], photo, broken, "--boxes", str(tmp_path / "boxes.json"),
         "-o", output]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert done == 0 and f"skipped {broken}" in printed
    sheet = cv2.imread(f"{output}/7.jpg")
    # Three images of 960x480, with margins of 6 pixels and captions of 22.
    assert sheet.shape == (480 + 22 + 12, 3 * 966 + 6, 3)
    names = compare.short_names([*runs, runs[1]])
    assert f"{names[0]}: 1 person; {names[1]}: " in printed
    first, second, third = (sheet[6:486, 6 + 966 * n :][:, :960].astype(int) for n in range(3))
    # The same network twice gives the same column (but for JPEG); the other one another drawing.
    assert np.abs(second - third).mean() < 1 < np.abs(first - second).mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}", "{photo}"], "at least two networks and an image, not 1 network "),
        (["{0}", "{1}"], "not 2 networks .* and 0 other arguments"),
        (["{0}", "{1}", "none.png"], "none.png: no such file or folder"),
        (["{1}", "{1}", "{photo}", "--boxes", "{boxes}"], "all networks are bottom-up"),
        (["{0}", "{1}", "{photo}", "--annotations", "{boxes}"], "give --boxes too"),
        (["{0}", "{1}", "{photo}", "--boxes", "{boxes}"], "none of its 1 boxes is for 7.png"),
    ],
)
def test_arguments_that_make_no_sense(runs, photo, tmp_path, capsys, arguments, message):
    import re

    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"file_name": "8.png", "bbox": [10, 10, 40, 48], "score": 1.0}]))
    words = [word.format(*runs, photo=photo, boxes=boxes) for word in arguments]
    assert cli.main(["compare", *words, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error) and "\n" not in error


def test_what_is_a_network(runs, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints" / "5").mkdir(parents=True)
    (run / "report").mkdir()
    (run / "config.json").write_text("{}")
    for name, expected in (
        ("run", True), ("run/checkpoints", True), ("run/checkpoints/5", True), ("a.onnx", True),
        ("run/report", False), ("", False), ("a.jpg", False), ("absent", False),
    ):  # fmt: skip
        assert compare.is_network(str(tmp_path / name)) is expected


def test_names_are_as_long_as_needed():
    assert compare.short_names(["runs/hwl", "lite.onnx"]) == ["hwl", "lite.onnx"]
    assert compare.short_names(["a/x/run", "b/x/run"]) == ["a/x/run", "b/x/run"]
    assert compare.short_names(["a/run", "a/run"]) == ["a/run", "a/run"]
