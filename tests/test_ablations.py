"""The ablations of WLitePose (Tables VI to X): every row is a network and a loss of its own."""

import collections
import functools
import pathlib

import jax
import numpy as np
import pytest
from absl import flags

from configs import common
from jaxpose import models, tasks
from jaxpose.config import differences, flatten
from jaxpose.config.flags import define_config_file
from jaxpose.models.wlitepose import PRESETS
from jaxpose.models.wlitepose_ablations import TABLES, TEXT_TOPOLOGY

FOLDER = pathlib.Path(common.__file__).parent
ROWS = [(table, row) for table, rows in TABLES.items() for row in rows]
WHOLE = TABLES["VI"][-1]  # the recipe as it is
BASELINE = TABLES["VI"][0]


def run_line(recipe, settings):
    """The settings that its command line gives, checked, and the network."""
    overrides = [f"--config.{key}={value}" for key, value in settings.items()]
    argv = ["train.py", f"--config={FOLDER / recipe}", "--config.data.root=somewhere"]
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", argv + overrides)  # config_flags looks there
        define_config_file("Recipe.", values)
        values(argv + overrides)
    tasks.validate(values.config, devices=2)
    return values.config, tasks.create_model(values.config, 14)


@functools.cache
def parameters(model):
    images = np.zeros((1, 64, 64, 3), np.float32)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))["params"]


@functools.cache
def ours():
    """Settings and parameters of the recipe as it is."""
    config, model = run_line(WHOLE.recipe, WHOLE.settings)
    return config, parameters(model)


def test_all_rows_are_there():
    assert {table: len(rows) for table, rows in TABLES.items()} == {
        "VI": 6,
        "VII": 6,
        "VIII": 5,
        "IX": 5,
        "X": 6,
    }
    assert not WHOLE.settings and not BASELINE.settings


@pytest.mark.parametrize("row", [BASELINE, WHOLE], ids=lambda row: row.label)
def test_the_networks_of_table_iii_are_the_first_and_last_row_of_table_vi(row):
    published = models.info(row.model).published
    (printed,) = (r for r in published if (r.dataset, r.source) == ("crowdpose", "WLitePose paper"))
    assert (printed.params, printed.gflops, printed.score) == (row.params, row.macs, row.ap)


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [row for _, row in ROWS if row.settings], ids=lambda row: f"{row.label} {row.settings}"
)
def test_a_row_changes_the_network_or_loss_as_it_states(row):
    config, model = run_line(row.recipe, row.settings)
    flat = flatten(config)
    flat |= {f"model_options.{key}": value for key, value in flat["model_options"].items()}
    assert {key: flat[key] for key in row.settings} == row.settings
    assert differences(ours()[0], config)
    changed = row.recipe != WHOLE.recipe or bool(row.options)
    assert (parameters(model) != ours()[1]) == changed


@pytest.mark.slow
@pytest.mark.parametrize("row", TEXT_TOPOLOGY, ids=lambda row: row.label)
def test_the_topology_of_the_text_is_another_network(row):
    config, model = run_line(row.recipe, row.settings)
    assert config.model == row.model and model.topology == "text"
    assert parameters(model) != ours()[1]


def test_rows_are_equal_where_the_paper_gives_one_score():
    """The baseline stands in five tables, the whole block in four, tau = 0.01 in two."""
    scores = collections.defaultdict(list)
    for _, row in ROWS:
        config, model = run_line(row.recipe, row.settings)
        loss = config.loss.to_dict()
        scores[str(model), str("mse" if loss["name"] == "mse" else loss)].append(row.ap)
    repeated = sorted(rows for rows in scores.values() if len(rows) > 1)
    assert repeated == [[58.0] * 5, [58.7] * 4, [59.0] * 2]


@pytest.mark.slow
def test_the_fits_are_other_networks():
    settings = [{"model_options.preset": preset} for preset in PRESETS]
    fits = [parameters(run_line(WHOLE.recipe, each)[1]) for each in settings]
    assert fits[0] == ours()[1]
    assert all(a != b for number, a in enumerate(fits) for b in fits[:number])
