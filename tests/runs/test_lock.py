"""The lock of a run folder: alive, dead, on another host, taken over once."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from jaxpose.runs import LockError, lock, locked, write_run
from jaxpose.skeletons import COCO

# Loads the module alone: importing the package takes seconds.
HOLD = f"""
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("lock", {lock.__file__!r})
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
import pathlib
try:
    with lock.locked(pathlib.Path(sys.argv[1])) as line:
        print("held", flush=True)
        sys.stdin.read()
        if sys.argv[2:] == ["crash"]:
            os._exit(1)
        if sys.argv[2:] == ["fail"]:
            raise ValueError("a mistake in the settings")
except lock.LockError as error:
    print("refused", error, flush=True)
"""


def start(folder, *words):
    command = [sys.executable, "-c", HOLD, str(folder), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def test_a_living_process_keeps_others_out(tmp_path):
    run = tmp_path / "runs" / "a"
    holder = start(run)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockError) as refusal, locked(run):
        pass
    text = str(refusal.value)
    assert f"process {holder.pid} on {socket.gethostname()}" in text and "\n" not in text
    holder.communicate("")
    assert list(run.iterdir()) == []
    with locked(run) as line:
        assert line is None and json.loads((run / "lock.json").read_text())["pid"] == os.getpid()
        with pytest.raises(LockError), locked(run):
            pass
        assert (run / "lock.json").exists()
    assert list(run.iterdir()) == []


def test_weights_are_not_written_into_a_training(tmp_path):
    with locked(tmp_path), pytest.raises(LockError, match="is training in this run folder"):
        write_run(tmp_path, {}, COCO, {"params": {}})
    assert list(tmp_path.iterdir()) == []


def test_an_error_releases_the_lock(tmp_path):
    holder = start(tmp_path, "fail")
    holder.communicate("")
    assert holder.returncode == 1 and list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    holder = start(tmp_path, "crash")
    assert holder.stdout.readline() == "held\n"
    holder.stdin.close()
    # Until it is waited for, the dead process is a zombie, which still has its number.
    while lock._process_start(holder.pid) != "":
        time.sleep(0.01)
    with locked(tmp_path) as line:
        assert f"replaced {tmp_path / 'lock.json'} of process {holder.pid}" in line
    holder.wait()


def write(folder, **changes):
    record = lock._describe_process() | changes
    (folder / "lock.json").write_text(json.dumps(record))
    return folder / "lock.json"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_another_process_of_the_same_number_is_not_the_holder(tmp_path):
    write(tmp_path, process_start="1")
    with locked(tmp_path) as line:
        assert "replaced" in line


@pytest.mark.parametrize("place", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}])
def test_another_host_counts_while_it_renews_its_lock(tmp_path, place, monkeypatch):
    monkeypatch.setattr(lock, "_POLL", 0.01)
    path = write(tmp_path, pid=123456789, **place)
    log = []

    def renew(line):
        log.append(line)
        threading.Timer(0.05, os.utime, (path,)).start()

    with pytest.raises(LockError, match=rf"has just renewed {path}\): wait for it to end"):
        with locked(tmp_path, renew):
            pass
    assert len(log) == 1 and "waiting for at most 120 s" in log[0]
    old = time.time() - lock.STALE - 1
    os.utime(path, (old, old))
    with locked(tmp_path, renew) as line:
        assert "process 123456789 on" in line
    assert len(log) == 1


@pytest.mark.parametrize("released", [False, True])
def test_a_job_killed_on_another_host_is_waited_for(tmp_path, monkeypatch, released):
    monkeypatch.setattr(lock, "_POLL", 0.01)
    monkeypatch.setattr(lock, "STALE", 60.0 if released else 0.3)
    path = write(tmp_path, host="elsewhere")
    log = []

    def note(line):
        log.append(line)
        if released:
            path.unlink()

    with locked(tmp_path, note) as line:
        assert (line is None) == released and len(log) == 1
        assert json.loads(path.read_text())["host"] == socket.gethostname()


def test_a_lock_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RENEWAL", 0.02)
    with locked(tmp_path):
        os.utime(tmp_path / "lock.json", (0, 0))
        limit = time.time() + 10
        while (tmp_path / "lock.json").stat().st_mtime == 0:
            assert time.time() < limit
            time.sleep(0.01)


def test_an_empty_lock_is_not_in_the_way(tmp_path):
    (tmp_path / "lock.json").touch()
    old = time.time() - 60
    os.utime(tmp_path / "lock.json", (old, old))
    with locked(tmp_path) as line:
        assert "unknown process" in line


def test_one_of_many_takes_a_stale_lock_over(tmp_path):
    write(tmp_path, process_start="1")
    processes = [start(tmp_path) for _ in range(6)]
    words = [process.stdout.readline().split()[0] for process in processes]
    for process in processes:
        process.communicate("")
    assert sorted(words) == ["held"] + ["refused"] * 5
    assert list(tmp_path.iterdir()) == []
