"""Heatmaps of networks whose heatmaps are the colors of the image."""

import pathlib

import cv2
import numpy as np
import pytest

from jaxpose import cli, codecs, skeletons, tasks
from jaxpose.predict import PoseEstimator, heatmaps
from jaxpose.predict import inputs as reading
from jaxpose.predict.heatmaps import LONGEST_SIDE, Maps, draw_maps, shown_views
from tests.helpers import seeing

PEOPLE = np.array([[[20, 20], [30, 34], [40, 48]], [[70, 20], [80, 34], [90, 48]]], float)


def test_maps_are_the_outputs_of_the_network(runs):
    topdown, bottomup = (PoseEstimator(folder) for folder in runs)
    image = seeing.draw_image(PEOPLE, (64, 128))
    crops = topdown.maps(image, np.array([[10, 10, 40, 48], [60, 10, 40, 48]]))
    assert len(crops) == 2
    for crop in crops:
        height, width = topdown.input_size
        assert crop.view.shape == (height, width, 3) and crop.view.dtype == np.uint8
        assert crop.heatmaps.shape == (height // 4, width // 4, 3) and crop.tags is None
        colors = crop.view.reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3)) / 255
        np.testing.assert_allclose(crop.heatmaps, colors, atol=1e-3)
    (whole,) = bottomup.maps(image)
    height, width = whole.view.shape[:2]
    assert whole.heatmaps.shape == whole.tags.shape == (height // 2, width // 2, 3)
    # Tags grow from the top down, in steps of a quarter of the view.
    rows = whole.tags[:, 0, 0]
    assert (np.diff(rows) >= 0).all() and rows[-1] > 9
    assert (np.argmax(whole.heatmaps.max((0, 1))) in range(3)) and whole.heatmaps.max() > 0.5


def test_an_exported_file_has_the_same_maps(runs, tmp_path):
    pytest.importorskip("onnx")
    image = seeing.draw_image(PEOPLE, (64, 128))
    assert cli.main(["export", str(runs[0]), "--to", "onnx", "-o", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("*.onnx")
    (expected,), (actual,) = (PoseEstimator(source).maps(image) for source in (runs[0], file))
    np.testing.assert_allclose(actual.heatmaps, expected.heatmaps, atol=1e-4)
    np.testing.assert_array_equal(actual.view, expected.view)


def test_a_sheet_has_one_tile_per_keypoint(rng):
    view = rng.integers(0, 255, (64, 48, 3), np.uint8)
    heatmaps = np.zeros((16, 12, 17), np.float32)
    heatmaps[4, 3, 0] = 1
    plain = draw_maps([Maps(view, heatmaps)], skeletons.COCO.joints)
    both = draw_maps([Maps(view, heatmaps)] * 2, skeletons.COCO.joints)
    tagged = draw_maps([Maps(view, heatmaps, heatmaps)], skeletons.COCO.joints)
    assert both.shape == tagged.shape and both.shape[1] == plain.shape[1]
    assert 1.9 < both.shape[0] / plain.shape[0] < 2.1
    # Only the second tile, the nose, is colored (the first, the input, is as it is).
    spread = plain.max(-1).astype(int) - plain.min(-1)
    tile = plain.shape[1] // 6
    assert spread[:, tile : 2 * tile].max() > 100 and spread[:, 2 * tile :].max() == 0
    with pytest.raises(ValueError, match="no images"):
        draw_maps([], skeletons.COCO.joints)


def test_a_sheet_is_never_longer_than_a_jpeg_may_be(monkeypatch):
    view = np.zeros((64, 48, 3), np.uint8)
    joints = [f"left_hand_middle_finger_tip_{k}" for k in range(133)]
    maps = [Maps(view, np.zeros((16, 12, 133), np.float32))] * 20
    shown = shown_views(maps, joints)
    assert 10 < shown < 20
    assert shown_views(maps[:shown], joints) == shown
    monkeypatch.setattr(heatmaps, "LONGEST_SIDE", 3 * LONGEST_SIDE // shown)
    sheet = draw_maps(maps, joints)
    assert shown_views(maps, joints) == 3 and len(sheet) <= 3 * LONGEST_SIDE // shown
    assert len(sheet) == len(draw_maps(maps[:3], joints))


def test_names_that_cannot_be_drawn_have_their_number(monkeypatch):
    texts, contact_sheet = [], heatmaps.draw.contact_sheet

    def sheet(tiles, captions, **options):
        texts.extend(captions)
        return contact_sheet(tiles, captions, **options)

    monkeypatch.setattr(heatmaps.draw, "contact_sheet", sheet)
    view = np.zeros((64, 48, 3), np.uint8)
    draw_maps([Maps(view, np.zeros((16, 12, 2), np.float32))], ["nose", "\u80a9"])
    assert texts == ["input", "nose 0.00", "keypoint 1 0.00"]


def test_maps_of_part_affinity_fields_are_in_the_order_of_coco():
    names = codecs.part_affinity.OPENPOSE.joints
    heatmaps = np.zeros((1, 4, 4, 19), np.float32) + np.arange(19)
    fields = np.zeros((1, 4, 4, 38), np.float32)
    maps, tags = tasks.get("part_affinity").maps((heatmaps, fields), skeletons.COCO)
    assert tags is None and maps.shape == (1, 4, 4, 17)
    assert [names[int(k)] for k in maps[0, 0, 0]] == list(skeletons.COCO.joints)


def test_the_command_writes_one_picture_per_image(runs, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), seeing.draw_image(PEOPLE, (64, 128))[..., ::-1])
    inputs = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for number, run in enumerate(runs):
        output = tmp_path / f"out{number}"
        assert cli.main(["predict", str(run), *inputs, "-o", str(output), "--heatmaps"]) == 0
        files = sorted(output.rglob("*"))
        assert [str(f.relative_to(output)) for f in files] == [
            "a.jpg", "b.jpg", "heatmaps", "heatmaps/a.jpg", "heatmaps/b.jpg", "predictions.json",
        ]  # fmt: skip
        sheet = cv2.imread(str(output / "heatmaps" / "a.jpg"))
        assert sheet.std() > 10


def test_heatmaps_never_overwrite_drawings():
    output = pathlib.Path("out")
    drawings = [output / "a.jpg", output / "heatmaps" / "a.jpg", output / "b.c.jpg"]
    assert reading.heatmap_paths(output, drawings) == [
        output / "heatmaps" / "a_2.jpg",
        output / "heatmaps" / "heatmaps" / "a.jpg",
        output / "heatmaps" / "b.c.jpg",
    ]


def test_videos_have_no_heatmaps(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    command = ["predict", str(tmp_path / "run"), "--camera", "0", "-o", str(tmp_path / "out")]
    assert cli.main([*command, "--heatmaps"]) == 2
    assert "--heatmaps works only with images" in capsys.readouterr().err
