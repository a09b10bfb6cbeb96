"""Events of a run, and random moments of its phases."""

import json
import random

import pytest

from jaxpose.soak import moments

TIMES = {
    "start": 0.0, "devices": 5.0, "data": 7.0, "network": 7.5, "opened": 7.6, "first step": 10.0,
    "step 1": 10.5, "step 2": 10.75, "step 3": 11.0, "evaluated 3": 12.0, "saving 3": 12.5,
    "saved 3": 12.75,
}  # fmt: skip


def test_events_are_seen_in_the_output_and_in_the_folder(tmp_path):
    assert moments.observe(tmp_path, "") == {"start"}
    output = (
        "1 x cpu on 1 host(s), jax 0.10\n24 people to train, 8 to validate\n"
        "TwoLayers: 752 parameters, input (64, 64)\nfirst step after 8.0 s\n"
    )
    records = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}, {"step": 2, "eval/AP": 0.1}]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 3, "lo')  # is being written
    (tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp-7").mkdir(parents=True)
    (tmp_path / "config.json").touch()
    seen = moments.observe(tmp_path, output)
    assert seen == {
        *("start", "devices", "data", "network", "first step"),
        *("opened", "step 1", "step 2", "evaluated 2", "saving 2"),
    }


def test_phases_are_between_two_events_that_were_seen():
    assert moments.phases(TIMES) == {
        "import": [("start", "devices")],
        "data": [("devices", "data")],
        "open": [("network", "opened")],
        "compile": [("network", "first step")],
        "step": [("step 1", "step 2"), ("step 2", "step 3")],
        "evaluation": [("step 3", "evaluated 3")],
        "save": [("saving 3", "saved 3")],
    }


def test_moments_lie_in_their_phase_and_depend_on_the_seed_alone():
    rng = random.Random(0)
    picked = [moments.pick("step", TIMES, rng) for _ in range(100)]
    assert {moment.after for moment in picked} == {"step 1", "step 2"}
    assert all(0 <= moment.seconds <= 0.25 for moment in picked)
    assert max(moment.seconds for moment in picked) > 0.2
    again = random.Random(0)
    assert [moments.pick("step", TIMES, again) for _ in range(100)] == picked


def test_any_moment_is_one_of_a_random_phase():
    rng = random.Random(0)
    picked = {moments.pick(moments.ANY, TIMES, rng).after for _ in range(200)}
    assert picked == {"start", "devices", "network", "step 1", "step 2", "step 3", "saving 3"}
    few = {"start": 0.0, "devices": 5.0}
    assert moments.pick(moments.ANY, few, rng).after == "start"


def test_a_phase_that_was_not_seen_is_an_error():
    with pytest.raises(ValueError, match="'save' was not seen"):
        moments.pick("save", {"start": 0.0, "step 1": 1.0}, random.Random(0))
