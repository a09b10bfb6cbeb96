"""Phases of a process, speed of the steps and goodput, by a clock that tests set."""

import numpy as np
import pytest

from jaxpose.training import times as module
from jaxpose.training.times import Clock, Times, Work, goodput, goodput_lines


class Now:
    """A clock that stands still until it is advanced."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds


@pytest.fixture
def now():
    return Now()


def spend(times, now, phase, seconds):
    with times.phase(phase):
        now.advance(seconds)


def test_every_second_belongs_to_one_phase(now):
    times = Times("import", start=97.0, now=now)
    times.begin("setup", at=99.0)
    now.advance(4.0)
    times.begin("steps")
    now.advance(1.0)
    with times.phase("evaluate"):
        now.advance(8.0)
        spend(times, now, "save", 2.0)
        now.advance(0.5)
    now.advance(16.0)
    assert times.seconds() == {
        "import": 2.0, "setup": 5.0, "steps": 17.0, "evaluate": 8.5, "save": 2.0,
    }  # fmt: skip
    assert times.wall() == now.seconds - 97.0 == sum(times.seconds().values())


def test_a_phase_ends_with_an_error(now):
    times = Times("steps", now=now)
    with pytest.raises(OSError), times.phase("save"):
        now.advance(3.0)
        raise OSError
    now.advance(1.0)
    assert times.seconds() == {"steps": 1.0, "save": 3.0}


def test_phases_add_up_to_the_wall_time_by_the_real_clock():
    random = np.random.default_rng(0)
    times = Times("setup")
    for name in random.choice(["input", "save", "evaluate"], 200):
        with times.phase(str(name)):
            np.sort(random.uniform(size=2000))
    assert sum(times.seconds().values()) == pytest.approx(times.wall(), abs=1e-9)


def test_speed_leaves_out_what_is_not_training(now):
    times = Times("steps", now=now)
    now.advance(50.0)  # before the clock starts
    clock = Clock(times, step=10, last=30, work=Work(examples=8, devices=2))
    now.advance(4.5)
    spend(times, now, "input", 0.5)
    for other in ("evaluate", "save", "compile", "profile"):
        spend(times, now, other, 7.0)
    expected = {
        "examples_per_second": 16.0, "examples_per_second_per_device": 8.0, "step_seconds": 0.5,
        "input_wait": 0.1, "eta_seconds": 5.0,
    }  # fmt: skip
    assert clock.speed(20) == expected
    assert clock.lap(20) == expected
    now.advance(1.0)
    assert clock.lap(24)["step_seconds"] == 0.25


def test_mfu_is_the_rate_of_operations_by_the_peak(now):
    times = Times("steps", now=now)
    clock = Clock(times, 0, 10, Work(examples=8, devices=4, flops=3e12, peak=100e12))
    now.advance(1.5)
    spend(times, now, "input", 0.5)  # waiting counts: the device could have worked
    assert clock.lap(10)["mfu"] == pytest.approx(3e12 * 10 / 2.0 / 100e12)
    for unknown in (Work(8, flops=3e12), Work(8, peak=100e12)):
        assert "mfu" not in Clock(times, 0, 10, unknown).speed(1)


def test_no_time_at_all_is_not_a_division_by_zero(now):
    times = Times("steps", now=now)
    assert np.isfinite(list(Clock(times, 5, 5, Work(8)).speed(5).values())).all()
    assert goodput(times)["goodput"] == 0.0


def test_goodput_is_the_share_of_the_steps(now):
    times = Times("setup", now=now)
    now.advance(15.0)
    times.begin("steps")
    now.advance(180.0)
    spend(times, now, "input", 5.0)
    values = goodput(times)
    assert values == {
        "goodput": 0.9, "wall_seconds": 200.0, "seconds/setup": 15.0, "seconds/steps": 180.0,
        "seconds/input": 5.0,
    }  # fmt: skip
    assert goodput_lines(values) == [
        "time of this process  seconds      %",
        "steps                   180.0   90.0",
        "setup                    15.0    7.5",
        "input                     5.0    2.5",
        "wall time               200.0  100.0",
        "goodput 90.0%: the share of the wall time in steps",
    ]


class Device:
    def __init__(self, used, peak):
        self._stats = {"bytes_in_use": used, "peak_bytes_in_use": peak, "num_allocs": 3}

    def memory_stats(self):
        return self._stats if self._stats["bytes_in_use"] is not None else None


def test_memory_is_that_of_the_fullest_device(monkeypatch):
    monkeypatch.setattr(module.jax, "local_devices", lambda: [Device(5, 9), Device(7, 8)])
    assert module.device_memory() == {"memory_bytes": 7, "memory_peak_bytes": 9}
    monkeypatch.setattr(module.jax, "local_devices", lambda: [Device(None, None)])
    assert module.device_memory() == {}
