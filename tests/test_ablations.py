"""The ablations of WLitePose (Tables VI to X): every row of configs/wlitepose.py, run whole."""

import ast
import collections
import functools
import pathlib
import re
from typing import NamedTuple

import jax
import numpy as np
import pytest
from absl import flags

from configs import wlitepose
from jaxpose import tasks
from jaxpose.config import differences, flatten
from jaxpose.config.flags import define_config_file

FOLDER = pathlib.Path(wlitepose.__file__).parent
TABLE = re.compile(r"^  ([IVX]+) +(.+?)\.$(?=\n  [IVX]|\n\S)", re.MULTILINE | re.DOTALL)


class Row(NamedTuple):
    table: str
    recipe: str
    overrides: dict[str, str]
    score: str


OURS = Row("", "wlitepose.py:s,crowdpose", {}, "")


def read_rows():
    """A row ends with its score and has, after `as Exp-N`, all that Exp-N has.

    A value without a key is one more of the key before it; a key without a dot is the network's.
    """
    rows, experiments, key = [], {}, None
    for table, body in TABLE.findall(wlitepose.__doc__):
        body = " ".join(body.split())
        base = experiments[body[3:8]] if body.startswith("as Exp-") else OURS
        for text, score in re.findall(r"(.+?) (\d\d\.\d)(?:[,;] |$)", body):
            given = re.findall(r'([\w.]+)=("[^"]+"|\S+)', text)
            if " " not in text and not given:
                given = [(key, text)]
            overrides = dict(base.overrides)
            for key, value in given:
                overrides[key if "." in key else f"model_options.{key}"] = value.strip('"')
            recipe = re.search(r"configs/(\S+)", text)
            rows.append(Row(table, recipe[1] if recipe else base.recipe, overrides, score))
            if text.startswith("Exp-"):
                experiments[text[:5]] = rows[-1]
    return rows


ROWS = read_rows()


def run_line(row):
    """The settings that its command line gives, checked, and the network."""
    overrides = [f"--config.{key}={value}" for key, value in row.overrides.items()]
    argv = ["train.py", f"--config={FOLDER / row.recipe}", "--config.data.root=somewhere"]
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", argv + overrides)  # config_flags looks there
        define_config_file("Recipe.", values)
        values(argv + overrides)
    tasks.validate(values.config, devices=2)
    return values.config, tasks.create_model(values.config, 14)


def literal(text):
    try:
        return ast.literal_eval(text)
    except ValueError:  # a word
        return text


@functools.cache
def parameters(model):
    images = np.zeros((1, 64, 64, 3), np.float32)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))["params"]


@functools.cache
def ours():
    """Settings and parameters of the recipe as it is."""
    config, model = run_line(OURS)
    return config, parameters(model)


def test_all_rows_are_there():
    found = collections.Counter(row.table for row in ROWS)
    assert found == {"VI": 4, "VII": 4, "VIII": 4, "IX": 4, "X": 5}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table} {row.overrides}")
def test_a_row_has_all_that_it_names_and_another_network_or_loss(row):
    config, model = run_line(row)
    flat = flatten(config)
    flat |= {f"model_options.{key}": value for key, value in flat["model_options"].items()}
    assert {key: flat[key] for key in row.overrides} == {
        key: literal(value) for key, value in row.overrides.items()
    }
    assert differences(ours()[0], config)
    changed = row.recipe != OURS.recipe or any("model_options" in key for key in row.overrides)
    assert (parameters(model) != ours()[1]) == changed


def test_rows_are_equal_where_the_paper_gives_one_score():
    """The whole block and DFC stand in three tables, tau = 0.01 in two."""
    scores = collections.defaultdict(list)
    for row in ROWS:
        config, model = run_line(row)
        scores[str(model), str(config.loss)].append(row.score)
    repeated = sorted(found for found in scores.values() if len(found) > 1)
    assert repeated == [["58.7"] * 3, ["59.0"] * 2]


def test_the_fits_are_other_networks():
    (presets,) = re.findall(r"model_options\.preset=(\w), (\w) or (\w)", wlitepose.__doc__)
    fits = [run_line(OURS._replace(overrides={"model_options.preset": p}))[1] for p in presets]
    found = [ours()[1], *map(parameters, fits)]
    assert all(a != b for number, a in enumerate(found) for b in found[:number])
