"""Settings on a command line (other mistakes in it: train, evaluation, input_pipeline)."""

import pytest
from absl import flags

from jaxpose.config.flags import (
    define_config_file,
    define_path,
    last_overrides,
    parse_flags,
    refuse,
)


@pytest.mark.parametrize(
    "recipe,message",
    [
        (
            "configs/hwll.py:coco,256x192",
            "configs/hwll.py: no such file; did you mean 'configs/hwl.py'?",
        ),
        ("nowhere/0.py", "nowhere/0.py: no such file"),
    ],
)
def test_a_missing_recipe_is_one_line(recipe, message, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit) as stop:
        parse_flags(["/some/train.py", f"--config={recipe}", "--config.batch_size=2"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"train.py: --config={message}\n"


def parse(*overrides):
    """The settings of a recipe after these arguments."""
    argv = ["train.py", "--config=configs/hwl.py", *overrides]
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", argv)  # config_flags looks there
        define_config_file("Recipe.", values)
        values(last_overrides(argv))
    return values.config


def test_the_last_of_several_values_wins(repository, monkeypatch):
    monkeypatch.chdir(repository)
    config = parse(
        "--config.input_size=(64,64)",
        "--config.schedule.milestones=(1.0,)",
        "--noconfig.eval.flip",
        "--config.batch_size=2",
        "--config.data.detections=boxes.json",
        "--config.model_options.sizes=(1,2)",
        "--config.distributed.host_id",
        "-1",
        "--config.distributed.host_id",
        "2",
        "--config.input_size",
        "(128,96)",
        "--config.eval.flip",
        "--config.batch_size=4",
        "--config.data.detections=",
        "--config.model_options.sizes=(3,)",
        "--config.data.root=~/coco",
    )
    assert config.input_size == (128, 96) and config.schedule.milestones == (1.0,)
    assert config.eval.flip and config.batch_size == 4 and config.distributed.host_id == 2
    assert config.data.detections == "" and config.data.root == "~/coco"
    assert config.model_options.sizes == (3,)


def test_other_arguments_are_kept():
    argv = ["x.py", "--config=a.py", "--workdir", "w", "--config.a.b=1", "--", "--config.a.b=2"]
    assert last_overrides(argv) == argv
    assert last_overrides(["x", "--config.a", "--config.b=1", "-noconfig.a"]) == [
        "x",
        "--config.b=1",
        "-noconfig.a",
    ]


@pytest.mark.parametrize(
    "words,message",
    [
        (["--config="], "--config= is empty: give a recipe, e.g. --config=configs/demo.py"),
        (
            ["--config.epochs="],
            "--config.epochs= is empty: give a value, e.g. --config.epochs=210.0",
        ),
        (["--config.eval.flip="], "--config.eval.flip= is empty: give a value, e.g. --config.eval"),
        (["--workdir="], "flag --workdir=: the path is empty; give a path, or omit the flag"),
    ],
)
def test_an_empty_value_is_one_line(words, message, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    argv = ["train.py", "--config=configs/hwl.py", *words]
    values = flags.FlagValues()
    monkeypatch.setattr("sys.argv", argv)  # config_flags looks there
    define_config_file("Recipe.", values)
    define_path("workdir", "Folder.", values)
    monkeypatch.setattr(flags, "FLAGS", values)
    with pytest.raises(SystemExit) as stop:
        parse_flags(argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith(f"train.py: {message}")
    assert error.count("\n") == 1


def test_the_home_folder_is_expanded_in_flags(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe = (
        "import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict({'a': 1})"
    )
    (tmp_path / "recipe.py").write_text(recipe)
    argv = ["train.py", "--config=~/recipe.py", "--workdir=~/runs/a"]
    values = flags.FlagValues()
    monkeypatch.setattr("sys.argv", argv)
    define_config_file("Recipe.", values)
    define_path("workdir", "Folder.", values)
    monkeypatch.setattr(flags, "FLAGS", values)
    parse_flags(argv)
    assert values.config.a == 1 and values.workdir == f"{tmp_path}/runs/a"


def test_help_lists_the_paths(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    values = flags.FlagValues()
    define_path("workdir", "Folder.", values)
    assert "--workdir: Folder." in values.main_module_help()


@pytest.mark.parametrize(
    "argument,message",
    [
        ("paradigm=topdown", "paradigm: renamed to --config.task"),
        ("batch_sise=2", "batch_sise: no such setting; did you mean --config.batch_size?"),
        ("learning_rate=2", "learning_rate: no such setting; did you mean --config.optimizer"),
    ],
)
def test_an_unknown_setting_is_one_line(argument, message, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    argv = ["train.py", "--config=configs/hwl.py", f"--config.{argument}"]
    with pytest.raises(SystemExit):
        refuse(argv, flags.Error("anything"))
    assert capsys.readouterr().err.startswith(f"train.py: --config.{message}")
