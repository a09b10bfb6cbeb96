"""`jaxpose settings`: readable, complete, and docs/settings.md is what it prints."""

import pytest

from jaxpose import tasks
from jaxpose.cli import main


def run(capsys, *arguments):
    assert main(["settings", *arguments]) == 0
    return capsys.readouterr().out


def test_the_document_is_fresh(repository, capsys):
    written = (repository / "docs" / "settings.md").read_text()
    assert written == run(capsys, "--markdown"), "jaxpose settings --markdown > docs/settings.md"


def test_every_setting_of_every_task_is_listed_within_100_columns(capsys):
    text = run(capsys)
    assert max(map(len, text.splitlines())) <= 100
    keys = {line[3:].split(" ")[0] for line in text.splitlines()}
    for task in tasks.TASKS.values():
        for setting in task.SETTINGS:
            assert setting.key in keys


@pytest.mark.parametrize("name", tasks.TASKS)
def test_one_task_has_one_default_a_setting(name, capsys):
    text = run(capsys, "--task", name)
    lines = text.splitlines()
    for setting in tasks.get(name).SETTINGS:
        assert sum(line[3:].split(" ")[0] == setting.key for line in lines) == 1
    assert f"({name})" not in text


def test_a_recipe_shows_its_values_and_marks_what_differs(repository, capsys):
    text = run(capsys, str(repository / "configs" / "hwl.py") + ":coco,384x288")
    lines = {line[3:].split(" ")[0]: line for line in text.splitlines()}
    assert lines["input_size"].startswith("*  input_size") and "(384, 288) pixels" in text
    assert "Default: (256, 192)." in text
    assert lines["batch_size"].startswith("   batch_size") and "64 examples" in lines["batch_size"]
    assert lines["keep"].startswith("~  keep")
    text = run(capsys, str(repository / "configs" / "efficient_hrnet.py"))
    assert "*  model_options               drop_path=0.2" in text


def test_mistakes_are_reported_in_one_line(repository, capsys):
    recipe = str(repository / "configs" / "hwl.py")
    for arguments, message in [
        ([recipe.replace("hwl", "hwll")], "hwll.py: no such file; did you mean"),
        ([f"{recipe}:coco"], "variant 'coco': give all parts, e.g. 'coco,256x192'"),
        ([recipe, "--task", "part_affinity"], "hwl.py is a recipe for topdown"),
        (["--task", "top"], "did you mean 'topdown'"),
    ]:
        assert main(["settings", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
