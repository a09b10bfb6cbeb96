"""What a user sees of JAX's messages about lost hosts. The texts are those of jaxlib 0.10."""

import os
import pathlib
import subprocess
import sys

import pytest

from jaxpose.hosts import messages

FOLDER = str(pathlib.Path(messages.__file__).parent)  # imported without JAX
SETUP = messages.Setup(
    program="train.py", host=1, hosts=2, coordinator="10.0.0.2:8476", timeout=30, heartbeat=60
)
FATAL = (
    "F1129 16:07:08.042599    4899 client.h:80] Terminating process because the JAX distributed "
    "service detected fatal errors. This most likely indicates that another task died; see the "
    "other task logs for more details. Disable Python buffering, i.e. `python -u`, to be sure to "
    "see all the previous output. absl::Status: "
)
TRACE = "*** Check failure stack trace: ***\n    @     0x7fa63b240634  absl::SendToLog()\n"
HEARTBEAT = (
    "E1129 16:07:08.041846    4888 coordination_service.cc:1549] [122] Use error polling to "
    "propagate the following error to all tasks: UNAVAILABLE: The following tasks are unhealthy "
    "(stopped sending heartbeats):\n1\nThe tasks have crashed. Check the task logs for an earlier "
    "error, or scheduler events (e.g. preemption, eviction) to debug further. [type]\n"
    "E1129 16:07:08.042449    4899 coordination_service_agent.cc:289] Polled an error from "
    "coordination service (this can be an error from this or another task).\n"
    f"{FATAL}UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n1\n"
    "The tasks have crashed. Check the task logs for an earlier error.\n\n"
    "RPC: /xla.coordination.CoordinationService/PollForError [type]\n"
)
SOCKET = (
    f"{FATAL}UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was "
    "preempted/died/restarted unexpectedly or this task is experiencing network issues.\n"
    "Additional GRPC error information from remote target coordination_service:\n"
    ':UNKNOWN:Error received from peer  {grpc_message:"Socket closed", grpc_status:14}\n'
)
REGISTER = "\nRPC: /xla.coordination.CoordinationService/RegisterTask\n"
CASES = {
    HEARTBEAT: "host 1 has ended or cannot be reached: no sign of life for 60 s; run the same",
    HEARTBEAT.replace("\n1\n", "\n1\n2\n"): "host 1 and host 2 have ended or cannot be reached",
    SOCKET: "host 0, the coordinator, has ended or cannot be reached; run the same command again",
    f"{FATAL}DEADLINE_EXCEEDED: Deadline Exceeded\n{REGISTER}": (
        "the coordinator 10.0.0.2:8476 did not start the 2 hosts within 30 s: check"
    ),
    f"{FATAL}INVALID_ARGUMENT: Unexpected task registered with task=2\n{REGISTER}": (
        "this is host 2, but host 0 expects fewer hosts"
    ),
    f"{FATAL}CANCELLED: Cancelled because there's a more recent barrier call\n{REGISTER}": (
        "two processes joined with the same number"
    ),
    f"{FATAL}ABORTED: 1 unexpectedly tried to connect with a different incarnation. It has "
    "likely restarted.\n": "a second process joined as host 1",
    f"{FATAL}INTERNAL: something new\nand more\n": "the hosts lost their connection (INTERNAL: som",
}  # fmt: skip


def filtered(text, setup=SETUP):
    return list(messages.filtered(text.splitlines(keepends=True), setup))


@pytest.mark.parametrize("text, expected", CASES.items(), ids=map(str, range(len(CASES))))
def test_a_fatal_message_becomes_one_line(text, expected):
    lines = filtered(f"step 2/6\n{text}{TRACE}")
    assert lines[0] == "step 2/6\n"
    (line,) = lines[1:]
    assert line.startswith(f"train.py: {expected}") and line.endswith("\n")


def test_host_0_names_itself_as_the_one_that_waited():
    setup = messages.Setup("train.py", 0, 2, "10.0.0.2:8476", 30, 60)
    (line,) = filtered(f"{FATAL}DEADLINE_EXCEEDED: Deadline Exceeded\n{REGISTER}{TRACE}", setup)
    assert "not all 2 hosts connected to 10.0.0.2:8476 within 30 s" in line


def test_a_known_cause_is_not_explained_again():
    assert filtered(f"train.py: host 1 ended: no\n{SOCKET}{TRACE}") == [
        "train.py: host 1 ended: no\n"
    ]


def test_all_other_lines_pass():
    text = (
        "Traceback (most recent call last):\n\n12\n"
        "E1129 16:11:39.000000    1 cuda_dnn.cc:1] Loaded runtime library\n"
        "W1129 16:11:39.000000    1 coordination_service.cc:388] Hidden\nRPC: /hidden\n"
        "RPC: /visible after another line? no: it continues the hidden one\n"
        "step 4/6\nRPC: /visible\nno newline"
    )
    assert "".join(filtered(text)) == (
        "Traceback (most recent call last):\n\n12\n"
        "E1129 16:11:39.000000    1 cuda_dnn.cc:1] Loaded runtime library\n"
        "step 4/6\nRPC: /visible\nno newline"
    )


def test_standard_error_of_a_process_is_filtered_to_its_end():
    program = (
        f"import os, sys\nsys.path.insert(0, {FOLDER!r})\nimport messages\n"
        "messages.start(messages.Setup('train.py', 1, 2, 'a:1', 30, 60))\n"
        "print('before', file=sys.stderr)\n"
        f"os.write(2, {SOCKET + TRACE!r}.encode())\nos.abort()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -6 and done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first == "before" and second.startswith("train.py: host 0, the coordinator, has ended")


def test_a_process_outlives_the_reader_of_its_standard_error(tmp_path):
    """As a training whose SSH connection is lost; it must still end by itself, and save."""
    program = (
        f"import pathlib, sys, time\nsys.path.insert(0, {FOLDER!r})\nimport messages\n"
        "messages.start(messages.Setup('train.py', 1, 2, 'a:1', 30, 60))\n"
        "print('step 1', file=sys.stderr, flush=True)\n"
        "sys.stdin.readline()\n"
        "for step in range(2, 20):\n"
        "    print('step', step, 1000 * 'x', file=sys.stderr, flush=True)\n"
        "    time.sleep(0.02)\n"
        "pathlib.Path(sys.argv[1]).write_text('saved')\n"
    )
    saved = tmp_path / "saved"
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(saved)], stdin=subprocess.PIPE, stderr=write, text=True
    ) as process:
        os.close(write)
        assert os.read(read, 100) == b"step 1\n"
        os.close(read)  # the filter alone held the other end; it gets EPIPE from now on
        process.communicate("go on\n", timeout=60)
    assert process.returncode == 0 and saved.read_text() == "saved"
