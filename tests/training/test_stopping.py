"""Stopping by a signal on one host; tests/hosts/test_two_hosts.py does so on two."""

import os
import signal

import pytest

from jaxpose.mesh import make_mesh
from jaxpose.training.stopping import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_recorded_and_the_second_ends_the_process(number):
    before = signal.getsignal(number)
    with StopSignal(make_mesh()) as stop:
        assert not stop.requested() and stop.signal is None
        os.kill(os.getpid(), number)
        assert stop.requested() and stop.signal == number
        assert signal.getsignal(number) == signal.SIG_DFL
    assert signal.getsignal(number) == before
