"""The command line of eval.py: which network, and which settings it keeps."""

import importlib

import pytest
from absl import flags
from ml_collections import config_flags

from configs import common
from jaxpose import runs, skeletons
from jaxpose.evaluation import command_line
from jaxpose.tasks import topdown
from tests.helpers import tiny_runs
from tests.helpers.evaluation import report

eval_program = importlib.import_module("eval")


@pytest.mark.slow
def test_command_line(run, tmp_path):
    imported = tmp_path / "imported"
    network = runs.read_run(run)
    known = {"task": "topdown", "model": network.config.model, "model_options": {}}
    runs.write_run(imported, known, network.skeleton, network.variables)
    done = tiny_runs.run(
        f"--checkpoint={run}/checkpoints/3", "--config.eval.flip=False", f"--report={tmp_path}",
        "--worst=0", program="eval.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"network: {run}/checkpoints/3" in done.stdout
    assert report(tmp_path)["config"]["eval"]["flip"] is False
    for wrong, message in (
        ([f"--workdir={run}", "--config.evl.flip=False"], "did you mean --config.eval.flip?"),
        ([f"--workdir={tmp_path}"], "is not a run folder"),
        ([], "nothing to evaluate"),
        ([f"--workdir={run}", "--step=newest"], "choose from last, best"),
        ([f"--workdir={run}", f"--checkpoint={run}"], "give one of them"),
        (["--untrained", "--exported=a.onnx"], "give one of them"),
        (["--untrained"], "--config=RECIPE"),
        (["--untrained", "--step=best"], "--untrained cannot be combined with --step"),
        ([f"--workdir={imported}"], "config.data.root is empty"),
    ):
        done = tiny_runs.run(*wrong, program="eval.py")
        assert done.returncode == 2
        assert message in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--exported=a.onnx --workdir=run --step=best",
            "--exported cannot be combined with --step",
        ),
        ("--untrained --step=3", "--untrained cannot be combined with --step=3"),
        (
            "--workdir=run --step=newest",
            "--step=newest.*last, best, or give the number",
        ),
        ("--results=a.json --workdir=run --step=best", "--results cannot be combined with --step"),
        ("--results=a.json --untrained", "--untrained and --results cannot be combined"),
        ("--results=a.json --exported=a.onnx", "--exported and --results cannot be combined"),
        ("--results=a.json --workdir=run", None),
        ("--workdir=run --step=best", None),
        ("--checkpoint=run --step=5", None),
        ("--exported=a.onnx --workdir=run --step=last", None),
    ],
)
def test_step_needs_a_run(arguments, message):
    values = flags.FlagValues()
    for name in ("workdir", "checkpoint", "exported", "results"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    flags.DEFINE_string("step", "last", "", flag_values=values)
    flags.DEFINE_boolean("untrained", False, "", flag_values=values)
    values(["eval.py", *arguments.split()])
    if message is None:
        return command_line.check_sources(values)
    with pytest.raises(ValueError, match=message) as error:
        command_line.check_sources(values)
    assert "\n" not in str(error.value)


def test_a_recipe_keeps_the_network_of_the_run(monkeypatch):
    run, recipe = common.get_config(), common.get_config()
    run.model_options.attention = "none"
    recipe.model_options.update(deconv_init="kaiming", pretrained_layout=True)

    def keep(*arguments):
        monkeypatch.setattr("sys.argv", ["eval.py", *arguments])  # config_flags reads it
        values = flags.FlagValues()
        config_flags.DEFINE_config_dict(
            "config",
            recipe.copy_and_resolve_references(),
            flag_values=values,
            lock_config=False,
            accept_new_attributes=True,
        )
        values(["eval.py", *arguments])
        lines = command_line.keep_network(values, run)
        return values.config.model_options.to_dict(), len(lines)

    assert keep() == ({"attention": "none"}, 3)
    given = "--config.model_options.deconv_init=released"
    assert keep(given) == ({"attention": "none", "deconv_init": "released"}, 2)
    with pytest.raises(ValueError, match="model is hwl_mobilenetv3, but .* for lite_hrnet_18"):
        keep("--config.model=lite_hrnet_18")


def test_the_codec_is_that_of_the_run(monkeypatch):
    run, recipe = common.get_config(), common.get_config()
    run.codec = "udp"

    def keep(*arguments):
        monkeypatch.setattr("sys.argv", ["eval.py", *arguments])
        values = flags.FlagValues()
        config_flags.DEFINE_config_dict("config", recipe, flag_values=values, lock_config=False)
        values(["eval.py", *arguments])
        return command_line.keep_network(values, run), values.config.codec

    assert keep() == (["codec=udp as in the run (the recipe has gaussian)"], "udp")
    assert keep() == ([], "udp")
    with pytest.raises(
        ValueError, match="trained with the codec udp: omit --config.codec=gaussian"
    ):
        keep("--config.codec=gaussian")


def test_sigma_is_that_of_the_run_unless_it_is_given(monkeypatch):
    run, recipe = common.get_config(), common.get_config()
    run.sigma = 3.0

    def keep(*arguments):
        monkeypatch.setattr("sys.argv", ["eval.py", *arguments])
        values = flags.FlagValues()
        config = recipe.copy_and_resolve_references()
        config_flags.DEFINE_config_dict("config", config, flag_values=values, lock_config=False)
        values(["eval.py", *arguments])
        return command_line.keep_network(values, run), values.config.sigma

    assert keep() == (["sigma=3 as in the run (the recipe has 2)"], 3.0)
    assert keep("--config.sigma=1.5") == ([], 1.5)


def test_a_file_of_another_codec_is_refused():
    config = common.get_config()
    config.codec = "udp"
    file = topdown.metadata(config, skeletons.COCO, 1) | {"input_size": [256, 192]}
    assert topdown.fit_settings(config, file, "a.onnx") == ""
    config.codec = "gaussian"
    with pytest.raises(ValueError, match="^a.onnx has the codec udp, but .* --config.codec=udp$"):
        topdown.fit_settings(config, file, "a.onnx")
    # Files of version 0.1.
    file["codec"] = {"name": "topdown", "decode": "dark", "sigma": 3.0, "flip_shift": True}
    assert topdown.fit_settings(config, file, "a.onnx") == ""
    assert topdown.decoder_from_metadata(file) == topdown.Decoder(True, "dark", 3.0)


def test_a_file_is_not_a_run_folder(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="photo.jpg is not a run folder"):
        runs.read_run(tmp_path / "photo.jpg")
