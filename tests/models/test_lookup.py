"""Users' networks: registered under a name, or named by their import path."""

import sys
import typing

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jaxpose
from jaxpose import cli, export, models, ops, summary, tasks
from jaxpose.benchmark.workload import model_workload
from jaxpose.config import ConfigError
from jaxpose.export.source import untrained
from jaxpose.layers import Conv
from jaxpose.models import published, zoo
from tests.helpers import tiny_runs

HERE = "tests.models.test_lookup"


class Bare(nn.Module):
    """A top-down network without batch norm that takes no option and declares nothing."""

    num_keypoints: int

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = ops.activation(Conv(4, 3, 2, use_bias=True, name="half")(x), kind="relu")
        return Conv(self.num_keypoints, 3, 2, name="final")(x)


class Plain(nn.Module):
    """Layers of Flax itself, and an option of every kind."""

    task: typing.ClassVar[str] = "topdown"
    input_size: typing.ClassVar[tuple[int, int]] = (64, 32)

    num_keypoints: int
    width: int
    gate: bool = False

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.relu(nn.Conv(self.width, (3, 3), 2, padding=1, name="half")(x))
        x = nn.ConvTranspose(self.width, (4, 4), (2, 2), name="up")(x)
        x = nn.Conv(self.width, (4, 4), (4, 4), padding=0, feature_group_count=2, name="down")(x)
        return nn.Dense(self.num_keypoints, name="final")(x)


def build(num_keypoints, **options):
    """A network from a function that takes any option."""
    return Plain(num_keypoints, **{"width": 8} | options)


build.task, build.input_size = "topdwn", [64, 64]


def misnamed(joints):
    return Bare(joints)


def no_network(num_keypoints):
    return num_keypoints


def test_a_registered_network_is_a_model_like_others(register):
    register("custom", Bare, task="topdown", input_size=(64, 96))
    assert "custom" in jaxpose.list_models()
    assert jaxpose.create_model("custom", 5) == Bare(5)
    assert models.info("custom") == models.ModelInfo("custom", "topdown", "", (64, 96), ())
    assert summary.count("custom", (64, 64)).macs == 32 * 32 * 4 * 27 + 16 * 16 * 17 * 36
    assert model_workload("custom", None, 2).batch["image"].shape == (2, 64, 96, 3)
    config = tiny_runs.config("data", model="custom")
    tasks.validate(config, devices=1)
    config.task = "associative_embedding"
    with pytest.raises(
        ConfigError, match="'custom' has the task topdown, but the recipe is for associative"
    ):
        tasks.validate(config, devices=1)


def test_a_name_is_registered_once_unless_it_is_replaced(register):
    before = models.list_models()
    with pytest.raises(ValueError, match="'hwl_mobilenetv3' exists already"):
        register("hwl_mobilenetv3", Bare, "topdown", (64, 64))
    count = summary.count("hwl_mobilenetv3", (64, 64))
    register("hwl_mobilenetv3", Bare, "topdown", (64, 64), replace=True)
    assert jaxpose.create_model("hwl_mobilenetv3") == Bare(17)
    assert summary.count("hwl_mobilenetv3", (64, 64)).macs < count.macs
    assert models.list_models() == before


def test_every_constructor_has_its_published_record():
    assert set(zoo.CONSTRUCTORS) == set(published.INFO)


def test_registered_models_are_removed_after_a_test():
    assert type(jaxpose.create_model("hwl_mobilenetv3")).__name__ == "HWL"
    assert "custom" not in models.list_models()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("a:b", Bare, "topdown", (64, 64)), "without a colon"),
        (("", Bare, "topdown", (64, 64)), "without a colon"),
        (("custom", Bare(17), "topdown", (64, 64)), "a module instance"),
        (("custom", misnamed, "topdown", (64, 64)), "must take num_keypoints, it takes joints"),
        (("custom", dict, "topdown", (64, 64)), "not a Flax module"),
        (("custom", "Bare", "topdown", (64, 64)), "it is a str"),
        (("custom", Bare, "topdown", 64), r"input_size must be \(height, width\), not 64"),
        (("custom", Bare, "topdown", (64, 0.5)), "input_size must be"),
        (("custom", Bare, 3, (64, 64)), "its task must be a name"),
    ],
)
def test_invalid_registrations_are_rejected(register, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        register(*arguments)
    assert "\n" not in str(error.value)


def test_an_unknown_task_is_rejected_where_it_is_looked_up(register):
    register("custom", Bare, task="topdwn", input_size=(64, 64))
    for use in (
        lambda: untrained("custom"),
        lambda: model_workload("custom", None, 2),
        lambda: tasks.validate(tiny_runs.config("data", model="custom"), devices=1),
    ):
        with pytest.raises(ValueError, match="custom: task='topdwn': did you mean 'topdown'"):
            use()


def test_an_imported_network():
    assert models.create_model(f"{HERE}:Bare", 5) == Bare(5)
    assert models.info(f"{HERE}:Bare") == models.ModelInfo(f"{HERE}:Bare", None, "", None, ())
    facts = models.info(f"{HERE}:Plain")
    assert (facts.task, facts.input_size) == ("topdown", (64, 32))
    assert models.create_model(f"{HERE}:Plain", width=4, gate=True) == Plain(17, 4, True)
    assert models.create_model(f"{HERE}:build", 3, gate=True) == Plain(3, 8, True)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("nowhere.networks:Net", {}, "no module 'nowhere'"),
        ("tests.nowhere:Net", {}, "no module 'tests.nowhere'"),
        (f"{HERE}:Bar", {}, "has no 'Bar'; did you mean 'Bare'"),
        (f"{HERE}:HERE", {}, "it is a str"),
        (f"{HERE}:", {}, "package.module:ClassName"),
        ("my-networks:Net", {}, "package.module:ClassName"),
        (f"{HERE}:misnamed", {}, "must take num_keypoints"),
        (f"{HERE}:no_network", {}, "returned int, not a Flax module"),
        ("os:getpid", {}, "must take num_keypoints, it takes nothing"),
        (f"{HERE}:Plain", {}, "option 'width' has no default"),
        (f"{HERE}:Plain", {"widht": 3}, "did you mean 'width'"),
        (f"{HERE}:Plain", {"width": "3"}, "must be a whole number"),
        (f"{HERE}:Plain", {"width": 3, "gate": "off"}, "must be True or False"),
        (f"{HERE}:Bare", {"dtype": jnp.bfloat16}, "no option 'dtype': keep config.dtype=float32"),
        (f"{HERE}:Bare", {"bn_axis": "data"}, "'bn_axis': keep config.batch_norm=device"),
        (f"{HERE}:build", {"parent": None}, "'parent' is unknown"),
    ],
)
def test_networks_that_cannot_be_imported_or_built_are_rejected(name, options, message):
    with pytest.raises(ValueError, match=message) as error:
        models.create_model(name, 17, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "code, message",
    [
        ("import nothing_of_that_name", "needs 'nothing_of_that_name', which is not installed"),
        ("class:", "SyntaxError"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_a_module_that_fails_gives_a_message_of_one_line(tmp_path, monkeypatch, code, message):
    (tmp_path / "failing.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    with pytest.raises(ValueError, match=message) as error:
        models.create_model("failing:Net")
    assert "\n" not in str(error.value)


def test_defaults_of_options_that_a_network_lacks_are_accepted():
    options = {"dtype": jnp.float32, "bn_axis": None}
    assert models.create_model(f"{HERE}:Bare", 5, **options) == Bare(5)


def test_a_network_without_batch_norm_has_only_parameters():
    variables = models.initial_variables(Bare(3), (32, 32))
    assert set(variables) == {"params"}
    source = untrained(f"{HERE}:Bare", (32, 32), task_name="topdown")
    assert source.metadata()["task"] == "topdown"


def test_layers_of_flax_are_counted():
    counted = summary.count(Plain(17, 8), (64, 32))
    assert counted.macs == sum((
        32 * 16 * 8 * 27,
        32 * 16 * 8 * 16 * 8,  # transposed: at its input
        16 * 8 * 8 * 16 * 4,  # in two groups
        16 * 8 * 17 * 8,
    ))  # fmt: skip
    assert [stage.name for stage in counted.stages] == ["half", "up", "down", "final"]


def test_commands_ask_for_what_a_network_does_not_state(capsys):
    assert cli.main(["summary", f"{HERE}:Bare"]) == 2
    assert "declares no input_size: give --size" in capsys.readouterr().err
    assert cli.main(["summary", f"{HERE}:Bare", "--size", "64x64"]) == 0
    assert "64x64, 17 keypoints" in capsys.readouterr().out
    assert cli.main(["export", f"{HERE}:Bare", "--init", "random"]) == 2
    assert "declares no task: give --task" in capsys.readouterr().err
    arguments = ["benchmark", "train", f"{HERE}:Plain", "--task", "part_affinity"]
    assert cli.main(arguments) == 2
    assert "is topdown, not part_affinity" in capsys.readouterr().err
    arguments = ["benchmark", "networks", f"{HERE}:Bare", "--task", "topdwn", "--size", "64x64"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert "did you mean 'topdown'" in error and error.count("\n") == 1


def test_a_network_that_states_no_task_takes_that_of_the_recipe():
    config = tiny_runs.config("data", model=f"{HERE}:Bare")
    tasks.validate(config, devices=1)
    config = tiny_runs.fields_config("data", model=f"{HERE}:Bare")
    assert tasks.create_model(config, 17).num_keypoints == 18
    config = tiny_runs.crowd_config("data", model=f"{HERE}:Plain")
    with pytest.raises(
        ConfigError, match="has the task topdown, but the recipe is for associative_embedding"
    ):
        tasks.validate(config, devices=1)


def test_a_file_of_an_imported_network_is_named_after_its_class(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    arguments = [f"{HERE}:Bare", "--init", "random", "--task", "topdown", "--size", "64x32"]
    assert cli.main(["export", *arguments, "-o", str(tmp_path)]) == 0
    file = tmp_path / "Bare_64x32.onnx"
    assert export.read_metadata(file)["model"] == f"{HERE}:Bare"
    assert jax.tree.leaves(export.run_file(file)(jnp.zeros((1, 64, 32, 3))))[0].shape[-1] == 17
