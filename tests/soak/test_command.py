"""`python -m jaxpose.soak`: its arguments, the order of faults, and real trials."""

import json
import random
import sys
import threading
import time

import pytest

from jaxpose.soak import command
from jaxpose.soak import trial as trial_module
from jaxpose.soak.faults import FAULTS
from jaxpose.soak.trial import Bad, Reference, Trial


def test_every_fault_comes_before_one_comes_again():
    order = command.order(list(FAULTS), 2 * len(FAULTS), seed=5)
    assert sorted(order[: len(FAULTS)]) == sorted(order[len(FAULTS) :]) == sorted(FAULTS)
    assert order == command.order(list(FAULTS), 2 * len(FAULTS), seed=5)
    assert order != command.order(list(FAULTS), 2 * len(FAULTS), seed=6)
    assert len(command.order(["pause"], 3, seed=0)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=kill_sav"], "did you mean 'kill_save'?"),
        (["--faults=0"], "--faults=0 must be at least 1"),
        (["--jobs=0"], "--jobs=0 must be at least 1"),
        ([], "is not empty: choose another folder with -o"),
    ],
)
def test_invalid_arguments_are_one_line(arguments, message, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert command.main([*arguments, "-o", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("soak: ") and message in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Two faults that start nothing, instead of the real ones: one survives, one does not."""

    def make_reference(folder, limit):
        for name in ("run", "data", "prepared"):
            (folder / name).mkdir(parents=True)
        return Reference(folder, folder / "cache", {"start": 0.0})

    def survives(trial: Trial) -> str:
        trial.note = f"{trial.rng.random()}"
        return "equal"

    def breaks(trial: Trial) -> str:
        (trial.folder / "evidence").touch()
        raise Bad("lost", "the disk is gone")

    monkeypatch.setattr(command, "make_reference", make_reference)
    monkeypatch.setattr(command, "FAULTS", {"survives": survives, "breaks": breaks})
    return tmp_path / "soak"


def test_the_status_is_0_if_all_survive(prepared, capsys):
    assert command.main(["--only=survives", "--faults=3", "-o", str(prepared)]) == 0
    trials = json.loads((prepared / "report.json").read_text())["trials"]
    assert [trial["outcome"] for trial in trials] == ["equal"] * 3
    assert not list((prepared / "trials").iterdir())
    # The random numbers of a trial depend on the seed, its number and its fault.
    assert trials[0]["note"] == str(random.Random("0 1 survives").random())
    assert len({trial["note"] for trial in trials}) == 3
    assert capsys.readouterr().out.splitlines()[-1].split()[:6] == ["all", "3", "3", "3", "0", "0"]


def test_the_status_is_1_and_the_folder_kept_if_one_is_bad(prepared, capsys):
    assert command.main(["--faults=2", "-o", str(prepared)]) == 1
    (folder,) = (prepared / "trials").iterdir()
    assert (folder / "evidence").exists()
    last = capsys.readouterr().out.splitlines()[-1]
    assert "breaks  lost: the disk is gone" in last and last.endswith(f"kept in {folder}")


def test_a_file_that_is_missing_after_a_trial_is_bad(prepared, monkeypatch, capsys):
    faults = {"missing": lambda trial: (trial.run / "bad_step.json").read_text()}
    monkeypatch.setattr(command, "FAULTS", faults)
    assert command.main(["--faults=1", "-o", str(prepared)]) == 1
    assert "missing  lost: FileNotFoundError: " in capsys.readouterr().out


def test_trials_run_at_the_same_time(prepared, monkeypatch):
    barrier = threading.Barrier(2)

    def meets(trial: Trial) -> str:
        barrier.wait(60)
        return "equal"

    monkeypatch.setattr(command, "FAULTS", {"meets": meets})
    assert command.main(["--jobs=2", "--faults=4", "-o", str(prepared)]) == 0
    trials = json.loads((prepared / "report.json").read_text())["trials"]
    assert sorted(trial["number"] for trial in trials) == [1, 2, 3, 4]


def test_what_is_running_ends_when_the_command_is_interrupted(prepared, monkeypatch):
    started = threading.Event()

    def waits(trial: Trial) -> str:
        training = trial.start()
        started.set()
        trial.finish(training)
        return "equal"

    def interrupts(trial: Trial) -> str:
        started.wait(60)
        raise KeyboardInterrupt

    words = [sys.executable, "-c", "import time; time.sleep(300)"]
    monkeypatch.setattr(trial_module, "command", lambda changes: words)
    monkeypatch.setattr(command, "FAULTS", {"waits": waits, "interrupts": interrupts})
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        command.main(["--jobs=2", "--faults=2", "-o", str(prepared)])
    assert time.monotonic() - begin < 100


def test_no_trial_starts_after_the_time(prepared):
    assert command.main(["--minutes=0", "-o", str(prepared)]) == 0
    assert not (prepared / "trials").exists()


@pytest.mark.slow
def test_real_trainings_recover(tmp_path, capsys):
    faults = "kill_save,truncate_checkpoint,damage_config,sigterm"
    folder = tmp_path / "soak"
    status = command.main([f"--only={faults}", "--faults=4", "-o", str(folder)])
    printed = capsys.readouterr().out
    assert status == 0, printed
    trials = json.loads((folder / "report.json").read_text())["trials"]
    outcomes = {trial["fault"]: trial["outcome"] for trial in trials}
    assert outcomes == {
        **dict.fromkeys(("kill_save", "truncate_checkpoint", "sigterm"), "equal"),
        "damage_config": "refused",
    }, printed
