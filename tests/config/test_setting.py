"""Declarations of settings: constraints, and tuples of settings put together."""

import math

import pytest

from jaxpose import tasks
from jaxpose.codecs import associative_embedding, part_affinity
from jaxpose.config import (
    ConfigError,
    Setting,
    defaults,
    with_defaults,
    with_settings,
    without,
)

ALL = [(name, setting) for name in tasks.TASKS for setting in tasks.get(name).SETTINGS]
PAIR = (Setting("seed", 0, "Seed."), Setting("loss.name", "mse", "Loss."))


@pytest.mark.parametrize(
    "bounds,constraint,good,bad",
    [
        ({"minimum": 0, "maximum": 1}, "between 0 and 1", (0, 0.5, 1), (-0.1, 1.1, math.nan)),
        ({"minimum": 0, "below": 1}, "at least 0 and less than 1", (0, 0.999), (-1, 1)),
        ({"above": 0}, "greater than 0", (1e-9, 7), (0, -1, math.nan)),
        ({"minimum": 2}, "at least 2", (2, 3), (1,)),
        ({"maximum": 2.5}, "at most 2.5", (2.5,), (3,)),
    ],
)
def test_bounds(bounds, constraint, good, bad):
    setting = Setting("augment.flip", 0.5, "Flip.", **bounds)
    assert setting.constraint == constraint
    for value in good:
        setting.check(value)
    for value in bad:
        with pytest.raises(ConfigError, match=f"config.augment.flip={value} must be {constraint}"):
            setting.check(value)


def test_an_invalid_choice_names_the_nearest():
    setting = Setting("optimizer.name", "adam", "Optimizer.", choices=("adam", "adamw"))
    assert setting.constraint == "adam, adamw" and setting.group == "optimizer"
    with pytest.raises(ConfigError, match=r"config.optimizer.name='adamm': did you mean 'adam'\?"):
        setting.check("adamm")


def test_later_settings_replace_earlier_ones_in_their_place():
    merged = with_settings(PAIR, Setting("seed", 3, "Mine."), Setting("loss.beta", 1.0, "Beta."))
    assert [setting.key for setting in merged] == ["seed", "loss.name", "loss.beta"]
    assert defaults(merged) == {"seed": 3, "loss.name": "mse", "loss.beta": 1.0}
    assert defaults(merged, "loss") == {"name": "mse", "beta": 1.0}
    assert defaults(with_defaults(merged, {"seed": 4}), "")["seed"] == 4


def test_groups_and_keys_are_left_out_by_name():
    assert without(PAIR, "loss") == PAIR[:1] == without(PAIR, "loss.name")
    with pytest.raises(ValueError, match="no setting 'los'; did you mean 'loss'"):
        without(PAIR, "los")
    with pytest.raises(ValueError, match="no setting 'sed'; did you mean 'seed'"):
        with_defaults(PAIR, {"sed": 1})


@pytest.mark.parametrize("name,setting", ALL, ids=lambda x: getattr(x, "key", x))
def test_every_setting_is_explained_and_its_default_allowed(name, setting):
    assert setting.sentence.endswith(".") and setting.sentence[0] not in " ,"
    assert len(setting.sentence) <= 100
    setting.check(setting.default)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_no_key_is_declared_twice(name):
    keys = [setting.key for setting in tasks.get(name).SETTINGS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("codec", [associative_embedding, part_affinity])
def test_grouping_is_evaluated_with_the_defaults_of_its_codec(codec):
    name = codec.__name__.rsplit(".", 1)[-1]
    values = defaults(tasks.get(name).SETTINGS, "eval")
    grouping = vars(codec.Grouping())
    assert {key: values[key] for key in grouping} == grouping
