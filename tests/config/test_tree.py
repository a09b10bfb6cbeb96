"""Default settings as a tree: what they are, what it refuses, and what a resumed run may change."""

import json
import pathlib
import subprocess
import sys

import pytest

from jaxpose import tasks
from jaxpose.config import COMMON, Setting, default_config, differences, flatten, with_settings

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "settings.json"


def make(name):
    return default_config(tasks.get(name).SETTINGS, task=name)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_defaults_are_those_that_runs_were_trained_with(name):
    """A changed default changes every recipe that does not set it; types matter, too."""
    config = make(name)
    expected = json.loads(GOLDEN.read_text())[name]
    assert {key: repr(value) for key, value in flatten(config).items()} == expected


@pytest.mark.parametrize("name", tasks.TASKS)
def test_unknown_keys_are_refused_and_model_options_are_open(name):
    config = make(name)
    with pytest.raises(AttributeError, match="batch_size"):
        config.batch_sise = 3
    with pytest.raises(AttributeError, match="flip"):
        config.eval.flp = True
    with pytest.raises(TypeError):
        config.epochs = "many"
    config.model_options.attention = "se"
    assert make(name).model_options.to_dict() == {}  # not shared


def test_settings_of_a_task_may_differ_when_it_says_so():
    settings = with_settings(COMMON, Setting("loss.beta", 1.0, "Beta.", fixed=False))
    old, new = (default_config(settings, task="mine") for _ in range(2))
    new.loss.beta, new.seed, new.keep = 2.0, 3, 9
    assert differences(old, new, settings) == ["seed: 0 -> 3"]
    assert differences(old, new) == ["loss.beta: 1.0 -> 2.0", "seed: 0 -> 3"]


def test_only_what_cannot_change_the_result_may_differ():
    free = {setting.key for name in tasks.TASKS for setting in tasks.get(name).SETTINGS
            if not setting.fixed}  # fmt: skip
    assert free == set(
        "checkpoint_every keep profile compilation_cache max_bad_fraction init_from init_share "
        "data.root data.storage data.tfds_dir data.workers data.prefetch data.cache "
        "data.prepared_dir eval.batch_size distributed.initialize distributed.hosts "
        "distributed.coordinator distributed.host_id distributed.timeout "
        "distributed.heartbeat".split()
    )


def test_declarations_need_no_task_model_or_input_pipeline():
    """The modules themselves; `import jaxpose` is another matter."""
    code = (
        "import sys, types; package = types.ModuleType('jaxpose'); "
        "package.__path__ = ['jaxpose']; sys.modules['jaxpose'] = package; "
        "import jaxpose.config.associative_embedding, jaxpose.config.part_affinity; "
        "import jaxpose.config.topdown, jaxpose.config.flags; "
        "heavy = {'jax', 'flax', 'tensorflow', 'jaxpose.models', 'jaxpose.tasks'}; "
        "sys.exit(str(heavy & set(sys.modules) or ''))"
    )
    root = pathlib.Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stderr.strip() == ""
