"""What hosts compare, and how a difference is described."""

import numpy as np
import pytest

from configs import common
from jaxpose import hosts
from jaxpose.config import flatten
from jaxpose.hosts import agreement, failures, records
from jaxpose.remote import RemoteError


def test_equal_records_have_no_differences():
    assert agreement.describe_differences({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, 1) == ""


def test_differences_name_both_hosts():
    own = {"optimizer.learning_rate": 0.002, "jax": "0.10.2", "data.detections": ""}
    first = {"optimizer.learning_rate": 0.001, "jax": "0.10.2", "data.detections": "a.json"}
    assert agreement.describe_differences(own, first, 1) == (
        "host 1 has optimizer.learning_rate 0.002, host 0 has 0.001; "
        "host 1 has data.detections '', host 0 has a.json"
    )


def test_many_differences_are_counted():
    own, first = ({f"k{n}": value for n in range(7)} for value in (1, 2))
    line = agreement.describe_differences(own, first, 3)
    assert line.count("host 3 has") == 3 and line.endswith("; 4 more differences")


def test_something_that_one_host_lacks_is_absent():
    assert agreement.describe_differences({}, {"jaxpose/new.py": "x"}, 1) == (
        "host 1 has jaxpose/new.py (absent), host 0 has x"
    )


def test_nothing_is_compared_on_one_host():
    hosts.agree("settings", {"a": object()}, 0)


def test_settings_that_may_differ_exist():
    assert set(flatten(common.get_config())) >= records.OF_EACH_HOST


def test_settings_that_change_the_result_are_compared():
    config = common.get_config()
    record = records.of_settings(config)
    assert set(record) >= set(flatten(config)) - records.OF_EACH_HOST
    assert {"jax", "flax", "optax", "train.py", "jaxpose/losses.py"} <= set(record)
    assert "data.root" not in record and "distributed.host_id" not in record


def test_folders_of_one_host_may_differ():
    folders = {"data.root", "data.tfds_dir", "data.prepared_dir"}
    assert not folders & set(records.of_settings(common.get_config()))


def test_the_file_of_a_custom_network_is_compared():
    name = "tests.helpers.tiny_runs"
    assert records.of_model(f"{name}:TinyPose")[name].startswith("SHA-256 ")
    assert records.of_model("hrnet_w32") == {}


def test_files_are_compared_by_content(tmp_path):
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text("{}")
    other.write_text("{}")
    assert records.of_file(one) == records.of_file(other)
    before = records.of_file(tmp_path)
    other.write_text("{ }")
    assert records.of_file(one) != records.of_file(other)
    assert records.of_file(tmp_path) != before
    assert records.of_data({"file": one, "examples": 3})["examples"] == 3


def test_arrays_are_compared_by_value():
    tree = {"a": np.arange(3.0), "b": np.ones((2, 2), np.int32)}
    changed = tree | {"a": np.nextafter(tree["a"], 9)}
    assert records.of_arrays(tree) == records.of_arrays(dict(tree))
    assert records.of_arrays(tree) != records.of_arrays(changed)


@pytest.mark.parametrize(
    "error, lost",
    [
        (ValueError("UNKNOWN: Gloo all-reduce failed: Read error: Connection reset by peer"), True),
        (RuntimeError("INTERNAL: NCCL operation failed"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes"), False),
        (RemoteError("gs://b/run: HttpError: Internal: cannot connect to the backend"), False),
        (ValueError("config.epochs=0 must be greater than 0"), False),
    ],
)
def test_lost_connections_are_told_from_other_errors(error, lost):
    assert failures._is_lost_connection(error) == lost
    try:
        raise OSError("a checkpoint could not be written") from error
    except OSError as outer:
        assert failures._is_lost_connection(outer) == lost


def test_expected_errors_of_one_host_end_with_one_line(capsys):
    def fail():
        raise ValueError("no such folder")

    assert hosts.run_program("train.py", fail, [(OSError, 4), (ValueError, 2)]) == 2
    assert capsys.readouterr().err == "train.py: no such folder\n"
    with pytest.raises(ValueError, match="no such folder"):
        hosts.run_program("train.py", fail, [(OSError, 4)])
    assert hosts.run_program("train.py", lambda: 3, []) == 3


def test_an_error_that_replaces_another_is_judged_alone():
    try:
        try:
            raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out")
        except RuntimeError:
            raise ValueError("host 1 did not compare its settings") from None
    except ValueError as error:
        assert not failures._is_lost_connection(error)


def test_lost_hosts_are_named():
    again = "run the same command again on every host"
    assert failures.describe_lost([1], "x") == f"host 1 has ended or cannot be reached; {again}"
    assert failures.describe_lost([1, 3], "x").startswith("host 1 and host 3 have ended")
    assert failures.describe_lost([], "INTERNAL: x") == (
        f"the connection between hosts was lost (INTERNAL: x); {again}"
    )
