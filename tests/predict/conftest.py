"""Run folders that the tests of prediction share."""

import pytest

from tests.helpers import seeing


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """(top-down, bottom-up) run folders of networks that detect colored dots."""
    return seeing.write_runs(tmp_path_factory.mktemp("runs"))
