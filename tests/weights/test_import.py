"""`jaxpose import NAME`: from a table to a run folder that predicts, is evaluated and exported."""

import hashlib
import io
import json

import cv2
import jax
import numpy as np
import pytest

from jaxpose import cli, convert, models, tasks, weights
from jaxpose.convert import command
from jaxpose.weights.run_config import run_config
from tests.helpers import tiny_runs
from tests.helpers.server import serve

MODEL = "simplebaseline_mobilenetv2"


@pytest.fixture(scope="module")
def variables():
    """Random weights; nothing is compiled."""
    model, images = models.create_model(MODEL, 19), np.zeros((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    random = np.random.default_rng(0)

    def values(path, leaf):
        if path[-1].key in ("scale", "var"):
            return random.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        width = np.sqrt(3 / max(np.prod(leaf.shape[:-1]), 10))
        return random.uniform(-width, width, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(values, shapes)


def table_of(folder, files):
    """A table of two checkpoints, and of rows with one fault each."""
    rows = []
    for name, codec in (("first", "dark"), ("second", "gaussian")):
        (folder / f"{name}.pth").write_bytes(files[name])
        rows.append({
            "model": MODEL, "url": f"{name}.pth", "dataset": "coco", "input": "64x64",
            "sha256": hashlib.sha256(files[name]).hexdigest(), "codec": codec,
            "scores": {"ap": 0.5}, "note": "made up",
            "settings": {"data.val_annotations": "people.json", "data.val_images": "images",
                         "data.detections": "", "eval.batch_size": 4},
        })  # fmt: skip
    rows[0]["keep_keypoints"] = 17
    rows.append(rows[1] | {"name": "sticks", "dataset": "sticks", "settings": {}})
    rows.append(rows[1] | {"name": "wrong", "sha256": "0" * 64})
    rows.append(rows[1] | {"name": "other", "skeleton": "mpii"})
    rows.append(rows[1] | {"name": "refused", "refused": "another head"})
    rows.append(rows[1] | {"name": "odd", "input": "100x64"})
    rows.append(rows[1] | {"name": "unset", "settings": {"eval.flop": True}})
    path = folder / "lab.json"
    path.write_text(json.dumps({"checkpoints": rows, "licence": "MIT"}))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table with files that are not checkpoints."""
    return table_of(tmp_path_factory.mktemp("lab"), {"first": b"first", "second": b"second"})


@pytest.fixture(scope="module")
def lab(tmp_path_factory, variables):
    """Folder of the table with made-up checkpoints, in the keys of mmpose 0.x and 1.x."""
    torch = pytest.importorskip("torch")
    files = {}
    for name, keypoints, head in (("first", 19, "keypoint_head."), ("second", 17, "head.")):
        tensors = {}
        for key, value in convert.to_torch_state_dict(MODEL, variables).items():
            value = value[:keypoints] if key.startswith("head.final_layer.") else value
            tensors[key.replace("head.", head, 1)] = torch.tensor(value.copy())
        file = io.BytesIO()
        torch.save({"meta": {"epoch": 210}, "state_dict": tensors}, file)
        files[name] = file.getvalue()
    return table_of(tmp_path_factory.mktemp("lab"), files).parent


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.mark.parametrize(
    "words,message",
    [
        (["wrong"], "the file was not read"),
        (["refused"], "refused cannot be imported: another head"),
        (["refused", "--file", "x.pth"], "refused cannot be imported: another head"),
        (["odd"], "odd: input 100x64 must be multiples of 32; the nearest is 96x64"),
        (["unset"], "no setting 'eval.flop'; did you mean 'eval.flip'"),
        (["second"], "no checkpoint or model has this name"),
        (["sticks", "--sigma", "3"], "--sigma is only for MODEL FILE.pth; omit it for sticks"),
        (["sticks", "--codec", "udp"], "--codec is only for MODEL FILE.pth; omit it for sticks"),
        (["sticks", "--file", "none.pth"], "none.pth: no such file"),
        (["sticks", "a.pth", "--file", "b.pth"], "two files, a.pth and b.pth"),
        (["sticks", "--file", "a.pth", "b.pth"], "two files, b.pth and a.pth"),
        ([MODEL], f"--table needs the name of a checkpoint, but {MODEL} is a network"),
    ],
)
def test_what_cannot_be_imported_is_one_line(table, tmp_path, words, message, capsys):
    assert run("import", *words, "--table", table, "-o", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("codec", [None, "gaussian", "dark", "udp"])
def test_the_codec_of_a_file_may_be_given(monkeypatch, tmp_path, codec):
    last = {"keypoint_head.final_layer.weight": np.zeros((17, 8, 1, 1), np.float32)}
    configs = []
    monkeypatch.setattr(command, "read_state_dict", lambda file, ema: last)
    monkeypatch.setattr(command, "from_torch", lambda *args, **options: {})
    monkeypatch.setattr(command, "write", lambda output, config, *rest: configs.append(config))
    given = ["--codec", codec] if codec else []
    assert run("import", MODEL, "net.pth", "-o", tmp_path / "run", *given) == 0
    (config,) = configs
    assert config.codec == ("udp" if codec == "udp" else "gaussian")
    assert config.eval.decode == ("dark" if codec == "dark" else "quarter")


def test_an_output_that_cannot_be_written_is_refused_before_the_download(
    table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(weights, "fetch", lambda checkpoint: pytest.fail("downloaded"))
    (tmp_path / "file").touch()
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    for output, message in (
        (tmp_path / "file", "file is a file, not a folder"),
        (tmp_path / "file" / "run", "file is a file, not a folder"),
        (tmp_path, "config.json does not belong to a run"),
    ):
        assert run("import", "sticks", "--table", table, "-o", output) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1


def test_a_network_without_a_file_names_its_checkpoints(tmp_path, capsys):
    assert run("import", "lite_hrnet_30", "-o", tmp_path / "run") == 2
    assert "or one of its checkpoints, e.g. lite_hrnet_30-" in capsys.readouterr().err


def test_weights_lists_a_table(table, capsys):
    assert run("weights", "--table", table) == 0
    out = capsys.readouterr().out
    assert f"{MODEL}-coco-64x64-dark" in out and "refused: another head" in out and "MIT" in out
    assert run("weights", f"{MODEL}-coco-64x64-dark", "--table", table) == 0
    assert "conditions      made up" in capsys.readouterr().out
    assert run("weights", "hrnet_w32-coco-3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and all(
        line.startswith(("name", "-", "hrnet_w32-coco-3")) for line in lines
    )
    assert run("weights", "hrnet_w32-cocoo") == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.slow
def test_import_predict_evaluate_export(lab, tmp_path, variables, monkeypatch, capsys):
    """A lab's table on a server, in four commands."""
    monkeypatch.setenv("JAXPOSE_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    tiny_runs.write_people(data)
    rows = json.loads((lab / "lab.json").read_text())["checkpoints"][:2]
    files = {f"{name}.pth": (lab / f"{name}.pth").read_bytes() for name in ("first", "second")}
    folder = tmp_path / "run"
    with serve(files) as server:
        for row in rows:
            row["url"] = f"{server.address}/cut/{row['url']}"
        path = tmp_path / "lab.json"
        path.write_text(json.dumps(rows))
        name = f"{MODEL}-coco-64x64-dark"
        assert run("import", name, "--table", path, "-o", folder) == 0
    out = capsys.readouterr().out
    assert "17 keypoints (coco), 64x64" in out and "published: ap 0.5 (made up)" in out

    from jaxpose import runs

    imported = runs.read_run(folder)
    assert (imported.config.eval.decode, imported.config.eval.flip) == ("dark", True)
    kernel = variables["params"]["head"]["final_layer"]["kernel"]
    np.testing.assert_array_equal(
        imported.variables["params"]["head"]["final_layer"]["kernel"], kernel[..., :17]
    )

    image = cv2.imread(str(data / "images" / "0.png"))
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    assert run("predict", folder, tmp_path / "photo.png", "-o", tmp_path / "out") == 0
    done = tiny_runs.run(
        f"--workdir={folder}", f"--config.data.root={data}", "--worst=0", program="eval.py"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "AP" in done.stdout and (folder / "report" / "metrics.json").is_file()
    assert run("export", folder, "--to", "onnx", "-o", tmp_path / "files") == 0
    assert list((tmp_path / "files").glob("*.onnx"))


@pytest.mark.slow
def test_unknown_keypoints_are_numbered_and_not_flipped(lab, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    table = ("--table", lab / "lab.json")
    assert run("import", "sticks", *table, "--file", lab / "second.pth", "-o", folder) == 0
    assert "the keypoints of sticks are unknown" in capsys.readouterr().out

    from jaxpose import PoseEstimator, runs

    info = runs.read_info(folder)
    assert info.skeleton.joints[:2] == ("keypoint 0", "keypoint 1")
    assert info.config.eval.flip is False
    task, flips = tasks.get(info.config.task), []
    monkeypatch.setattr(
        task, "decoder_for_estimate", lambda decoder, flip: flips.append(flip) or decoder
    )
    PoseEstimator(folder)
    assert flips == [False]

    assert run("import", "other", *table, "-o", tmp_path / "other") == 2
    assert "the skeleton mpii has 16 keypoints, but the file has 17" in capsys.readouterr().err
    assert run("import", "sticks", *table, "-o", folder) == 2
    assert "already has checkpoints" in capsys.readouterr().err


@pytest.mark.slow
def test_any_file_of_a_network_becomes_a_run_that_needs_no_recipe(lab, tmp_path):
    folder = tmp_path / "run"
    file = lab / "second.pth"
    assert (
        run("import", MODEL, file, "-o", folder, "--size", "64x64", "--skeleton", "humanart") == 0
    )

    from jaxpose import runs

    info = runs.read_info(folder)
    info.config.data.root = "/data"
    tasks.validate(info.config, devices=1, training=False)
    assert (info.skeleton.name, info.config.data.detections) == ("humanart", "")


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["coco-wholebody", "aic"])
def test_bottomup_networks_may_have_any_number_of_keypoints(tmp_path, dataset):
    from jaxpose import PoseEstimator, public_skeletons, runs

    name, task = "tests.helpers.tiny_runs:TinyPose", tasks.get("associative_embedding")
    skeleton = public_skeletons.BY_DATASET[dataset]
    config = run_config(name, task, (64, 64), skeleton, options={}, sigma=2, dataset=dataset)
    model = tasks.create_model(config, skeleton.num_joints)
    images = np.zeros((1, 64, 64, 3), np.float32)
    variables = model.init(jax.random.key(0), images, train=False)
    runs.write_run(tmp_path / "run", config, skeleton, variables)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    poses = PoseEstimator(tmp_path / "run", sizing="fixed")(image)
    assert poses.keypoints.shape[1:] == (skeleton.num_joints, 2)
