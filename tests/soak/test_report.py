"""The table, the lines of bad trials, and the JSON file."""

import json

from jaxpose.soak import report

RESULTS = [
    report.Result(1, "kill_save", "equal", True, 10.0, "0.1 s after 'saving 3'"),
    report.Result(2, "damage_config", "refused", True, 8.0, "config.json: empty"),
    report.Result(3, "kill_save", "different", False, 20.0, "0.2 s", "metrics.jsonl", "out/0003"),
]


def test_the_table_counts_outcomes_by_fault():
    assert report.table(RESULTS).splitlines() == [
        "fault          trials  in time  equal  refused  bad  seconds per trial",
        "kill_save           2        1      1        0    1               15.0",
        "damage_config       1        1      0        1    0                8.0",
        "all                 3        2      1        1    1               12.7",
    ]


def test_bad_trials_are_named_with_their_folders():
    assert [result.bad for result in RESULTS] == [False, False, True]
    lines = report.summary(RESULTS).splitlines()
    assert lines[4:] == [
        "bad: 3  kill_save  different: metrics.jsonl  20.0 s  0.2 s (the training had ended before)"
        "  kept in out/0003"
    ]


def test_a_table_without_trials():
    assert report.table([]).splitlines()[-1].split() == ["all", "0", "0", "0", "0", "0", "0.0"]


def test_the_json_file_has_every_trial(tmp_path):
    report.write(tmp_path / "report.json", RESULTS, seed=3)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["seed"] == 3 and len(record["trials"]) == 3
    assert record["trials"][2]["reason"] == "metrics.jsonl"
