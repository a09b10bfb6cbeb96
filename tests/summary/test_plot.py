"""`jaxpose models --plot`."""

import json

import numpy as np
import pytest

from jaxpose import cli, models
from jaxpose.models.published import Row
from jaxpose.summary import plot


def latency_file(path, rows, onnx="median ms", host="a CPU"):
    rows = [{"model": m, "input": s, "onnx_ms": ms} for m, s, ms in rows]
    path.write_text(json.dumps({"terms": {"onnx": onnx, "host": host}, "rows": rows}))
    return str(path)


def test_the_first_source_of_a_size_is_shown():
    rows = plot.first_rows("simplebaseline_mobilenetv2")
    assert len({(row.dataset, row.input_size) for row in rows}) == len(rows)
    chosen = {(row.dataset, row.input_size): (row.score, row.source) for row in rows}
    assert chosen["coco", (256, 192)] == (64.6, "HWL paper")


def test_every_published_dataset_has_a_panel():
    datasets = {row.dataset for name in models.list_models() for row in plot.first_rows(name)}
    assert datasets <= set(plot.PANELS)


def test_latencies_of_several_files(tmp_path):
    first = latency_file(tmp_path / "a.json", [("hwl_mobilenetv3", "256x192", 5)])
    second = latency_file(tmp_path / "b.json", [("hwl_mobilenetv3", "384x288", 11.5)])
    assert plot.read_latency([first, second]) == (
        {("hwl_mobilenetv3", "256x192"): 5.0, ("hwl_mobilenetv3", "384x288"): 11.5},
        "median ms\na CPU",
    )
    with_mark = tmp_path / "marked.json"  # saved again by an editor that adds a byte-order mark
    with_mark.write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.json").read_bytes())
    assert plot.read_latency([with_mark]) == plot.read_latency([first])
    other = latency_file(tmp_path / "c.json", [], host="another CPU")
    with pytest.raises(ValueError, match="a.json and .*c.json were measured under different"):
        plot.read_latency([first, other])
    (tmp_path / "d.json").write_text("[]")
    with pytest.raises(ValueError, match="d.json: not a file of `jaxpose benchmark networks"):
        plot.read_latency([str(tmp_path / "d.json")])


def test_one_line_for_what_makes_no_sense(tmp_path, capsys):
    for words, message in (
        (["--latency", "a.json"], "--latency needs --plot FILE.png"),
        (["--plot", str(tmp_path / "a.png"), "--dataset", "coca"], "did you mean 'coco'?"),
        (["--plot", str(tmp_path / "a.png"), "--latency", "none.json"], "none.json: not a file of"),
    ):
        assert cli.main(["models", *words]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error


def test_paths_are_expanded_and_a_latency_is_not_overwritten(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "a.json"
    latency_file(file, [("hwl_mobilenetv3", "256x192", 5)])
    before = file.read_bytes()
    assert cli.main(["models", "--plot=~/a.json", "--latency", "~/a.json"]) == 2
    assert f"{file} is an input and would be overwritten" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.slow
def test_labels_do_not_overlap(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    rng = np.random.default_rng(0)
    names = models.list_models()[:30]
    points = [
        plot.Point(
            name,
            Row(
                "coco", (256, 192), 17, None, 1.0, "AP", float(rng.normal(65, 3)), "a paper", "true"
            ),
            float(np.exp(rng.normal(0, 0.5))),
        )
        for name in names
    ]
    drawn = figure.Figure(figsize=(13, 8.5), layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots()
    plot.draw_panel(axes, "title", "x", points)
    drawn.canvas.draw()
    plot.place_labels(axes, points)
    renderer = drawn.canvas.get_renderer()
    assert sorted(text.get_text() for text in axes.texts) == sorted(p.label for p in points)
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 30
    for n, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:n])
        assert axes.bbox.containsx(one.x0) and axes.bbox.containsx(one.x1)


@pytest.mark.slow
def test_one_panel_per_dataset_and_measurement(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(models, "list_models", lambda: ["hwl_mobilenetv3"])
    timed = latency_file(tmp_path / "a.json", [("hwl_mobilenetv3", "256x256", 5)])
    file = tmp_path / "zoo.png"
    words = ["--plot", str(file), "--dataset", "coco", "mpii", "--latency", timed]
    assert cli.main(["models", *words]) == 0
    assert "4 scores in 3 panels" in capsys.readouterr().out
    assert file.read_bytes()[:4] == b"\x89PNG"
    unknown = latency_file(tmp_path / "b.json", [("hwl_mobilenetv3", "64x64", 5)])
    with pytest.raises(ValueError, match="no scores are published for the models and sizes in"):
        plot.plot(str(file), [unknown], ["coco"])
