"""--config=RECIPE on a command line (its other mistakes: test_train, test_eval, input_pipeline)."""

import pytest

from jaxpose import settings


@pytest.mark.parametrize(
    "recipe,said",
    [
        (
            "configs/hwll.py:coco,256x192",
            "configs/hwll.py: no such file; did you mean 'configs/hwl.py'?",
        ),
        ("nowhere/0.py", "nowhere/0.py: no such file"),
    ],
)
def test_a_recipe_that_is_not_there_is_one_line(recipe, said, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit) as stop:
        settings.parse_flags(["/some/train.py", f"--config={recipe}", "--config.batch_size=2"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"train.py: --config={said}\n"
