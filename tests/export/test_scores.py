"""`jaxpose export --eval`: the metric of the files, and files that lose too much."""

import json
import sys

import jax
import numpy as np
import pytest

from jaxpose import cli, export
from jaxpose.export import scores
from jaxpose.export import source as export_source
from jaxpose.export.source import from_run
from jaxpose.export.targets import DEFAULT, TARGETS
from tests.helpers import dots, seeing


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return dots.write_run(tmp_path_factory.mktemp("dots"))


def test_files_are_evaluated_beside_the_model(run, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("ncnn")
    words = ["export", str(run), "--to", "onnx,ncnn", "--eval", "-o", str(tmp_path / "files")]
    assert cli.main([*words, "--json", str(tmp_path / "table.json")]) == 0
    printed = capsys.readouterr().out.splitlines()
    header = next(line for line in printed if line.startswith("file"))
    assert header.split()[-2:] == ["AP", "difference"]
    document = json.loads((tmp_path / "table.json").read_text())
    assert [row["target"] for row in document["rows"]] == ["onnx", "ncnn"]
    for row in document["rows"]:
        assert row["metric"] == "AP" and row["metric_model"] > 50
        assert row["metric_difference"] == row["metric_file"] - row["metric_model"] == 0
        assert row["images"] == 2 and row["keypoints"] + row["ties"] == 2 * 3
    assert f"AP of the model: {document['rows'][0]['metric_model']:.2f}" in printed
    assert document["terms"]["evaluated"] in printed[-1]
    assert "2 annotated boxes" in printed[-1]


def negated(variables):
    """Weights with which the network finds no one."""
    return jax.tree.map(lambda a: -np.asarray(a), variables)


@pytest.fixture
def blind(monkeypatch):
    """Files are written with negated weights, and verified with them: only the scores differ."""
    pytest.importorskip("onnxruntime")
    for module, name in ((export, "to_onnx"), (export_source, "expected_outputs")):
        function = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda model, variables, *rest, function=function, **options: function(
                model, negated(variables), *rest, **options
            ),
        )


def test_a_file_that_loses_too_much_leaves_nothing(run, blind, tmp_path, capsys):
    folder = tmp_path / "files"
    words = ["export", str(run), "--eval", "-o", str(folder)]
    assert cli.main(words) == 2
    (error,) = capsys.readouterr().err.splitlines()
    path = folder / "Looker_32x128.onnx"
    assert error.startswith(f"jaxpose export: {path}: AP 0.00 of the file is ")
    assert error.endswith("the limit is 0.1 (--max-drop)")
    assert list(tmp_path.iterdir()) == []
    assert cli.main([*words, "--max-drop", "100"]) == 0
    assert [file.name for file in folder.iterdir()] == [path.name]


def test_the_scores_of_a_file(run, tmp_path):
    pytest.importorskip("onnxruntime")
    source = from_run(run)
    scorer = scores.Scorer(source, run)
    path = tmp_path / "m.onnx"
    TARGETS["onnx"].write(source, path, DEFAULT)
    score = scorer.score(path, limit=0)
    assert score.metric == "AP" and score.model == score.file > 50 and score.difference == 0
    assert scorer.images(5).shape == (2, *seeing.Looker.input_size, 3)


def test_a_score_that_is_not_a_number_is_refused(run, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    source = from_run(run)
    scorer = scores.Scorer(source, run)
    path = tmp_path / "m.onnx"
    TARGETS["onnx"].write(source, path, DEFAULT)
    monkeypatch.setattr(scorer, "_evaluate", lambda _, file=None: float("nan" if file else "50"))
    with pytest.raises(export.MismatchError, match="AP nan of the file"):
        scorer.score(path, limit=100)


@pytest.mark.parametrize(
    "words, message",
    [
        (["hwl_mobilenetv3", "--init", "random", "--eval"], "--eval needs a run folder"),
        (["RUN", "--max-drop", "1"], "--max-drop is for the evaluation; add --eval"),
        (
            ["RUN", "--data", "x"],
            "--data names the data of --eval, and of --precision int8-static without --calibrate",
        ),
        (
            ["RUN", "--precision", "int8-static", "--calibrate", "a.png", "--data", "x"],
            "int8-static without --calibrate: add --eval or leave out --data",
        ),
        (["RUN", "--eval", "--max-drop", "-1"], "--max-drop -1 must be at least 0"),
        (["RUN", "--eval", "--max-drop", "nan"], "--max-drop nan must be at least 0"),
        (["RUN", "--eval", "--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(run, words, message, capsys):
    pytest.importorskip("onnxruntime")
    before = sorted(run.rglob("*"))
    assert cli.main(["export", *(str(run) if word == "RUN" else word for word in words)]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert message in error
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    "package, message",
    [
        ("input_pipeline", "run `python -m jaxpose export` in a checkout of the project"),
        ("tensorflow", r"tensorflow is not installed, .* pip install 'jaxpose\[train\]'"),
    ],
)
def test_a_missing_package_is_named(package, message, run, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "input_pipeline":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message) as error:
        scores.Scorer(from_run(run), run)
    assert "\n" not in str(error.value)
