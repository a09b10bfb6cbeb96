"""Data and finished runs that the tests of train.py share; each run is trained once."""

import importlib

import jax
import pytest

from tests.helpers import tiny_runs

train = importlib.import_module("train")


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="session")
def crowds(tmp_path_factory):
    """12 images of two people each."""
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "crowds", people=24, each=2)


@pytest.fixture(scope="session")
def compiled():
    """Names of the functions lowered to XLA while the tests run."""
    names = []

    def listen(event, duration, fun_name="", **_):
        if event == "/jax/core/compile/jaxpr_to_mlir_module_duration":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


@pytest.fixture(scope="session")
def finished(people, tmp_path_factory, compiled):
    """A run from start to end: (its settings, its folder, what was compiled)."""
    config = tiny_runs.config(people, ema_decay=0.5)
    folder = tmp_path_factory.mktemp("runs") / "finished"
    compiled.clear()
    assert train.main(config, str(folder)) == 0
    return config, folder, list(compiled)


@pytest.fixture(scope="session")
def finished_crowds(crowds, tmp_path_factory, compiled):
    """The same for a bottom-up network."""
    config = tiny_runs.crowd_config(crowds)
    folder = tmp_path_factory.mktemp("runs") / "crowds"
    compiled.clear()
    assert train.main(config, str(folder)) == 0
    return config, folder, list(compiled)


@pytest.fixture(params=["finished", "finished_crowds"], ids=["topdown", "associative_embedding"])
def either(request):
    """A finished run of either task."""
    return request.getfixturevalue(request.param)
