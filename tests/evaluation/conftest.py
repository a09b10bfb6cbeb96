"""Data and one short training that the tests of evaluation share."""

import importlib

import pytest

from tests.helpers import tiny_runs


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="session")
def run(people, tmp_path_factory):
    """A run folder with the weights of one short training."""
    train = importlib.import_module("train")
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main(tiny_runs.config(people, epochs=1.0, ema_decay=0.5), str(folder)) == 0
    return folder
