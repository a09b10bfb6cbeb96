"""Ratios of timings in turns."""

from jaxpose.benchmark.turns import Contestant, measure, ratio


def test_a_ratio_ignores_what_slows_both():
    baseline = [1.0] * 10 + [5.0] * 10  # the machine is busy in the second half
    assert ratio([2 * t for t in baseline], baseline) == 2
    assert ratio(baseline, baseline) == 1


def test_a_ratio_takes_the_rounds_of_both():
    assert ratio([3.0] * 4, [1.0] * 4 + [9.0] * 100) == 3
    assert ratio([3.0], [2.0]) == 1.5


def test_the_baseline_of_each_is_named():
    calls = []
    timed = [
        Contestant({"model": name, "runtime": "r"}, lambda n=name: lambda: calls.append(n))
        for name in "abc"
    ]
    rows = measure(timed, warmup=1, runs=3, seconds=0, baselines=[0, None, 0])
    assert rows[0]["ratio"] == 1 and rows[1]["ratio"] is None and rows[2]["ratio"] > 0
    # the first call of each, warm-up, then in turns
    assert "".join(calls) == "abc" + "abc" + "abc" * 3
    assert [row["model"] for row in rows] == list("abc") and rows[0]["runs"] == 3
    assert "ratio" not in measure(timed, warmup=0, runs=1, seconds=0)[0]
