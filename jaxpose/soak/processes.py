"""Faults of the process: killed, stopped, suspended, started twice."""

import signal
import time

from jaxpose.soak.moments import ANY, Moment, pick
from jaxpose.soak.training import Training
from jaxpose.soak.trial import EQUAL, REFUSED, Bad, Trial, last_line

_IN_USE = "is training in this run folder"


def kill(trial: Trial, phase: str) -> str:
    """SIGKILL in a phase; nothing is prepared or compiled before those phases."""
    if phase == "data":
        trial.own_data()
    if phase == "compile":
        trial.own_cache()
    _strike(trial, phase).kill()
    return trial.survive()


def kill_thrice(trial: Trial) -> str:
    """SIGKILL at three moments, of the first run and of the two that resume it."""
    times = trial.reference.times
    moments = [pick(ANY, times, trial.rng) for _ in range(3)]
    moments.sort(key=lambda moment: times[moment.after] + moment.seconds)
    happened = []
    for moment in moments:
        _strike_at(trial, moment).kill()
        happened.append(trial.happened)
    trial.note, trial.happened = ", ".join(map(str, moments)), any(happened)
    return trial.survive()


def stop(trial: Trial, number: int) -> str:
    """SIGTERM or SIGINT at any moment: it must end by itself, without a traceback."""
    training = _strike(trial, ANY)
    training.send(number)
    status = trial.finish(training)
    if status not in (0, 128 + number, -number):
        raise Bad("lost", f"status {status}: {last_line(training.output)}")
    return trial.survive()


def pause(trial: Trial) -> str:
    """SIGSTOP, and SIGCONT after up to three seconds, as a laptop's sleep."""
    training = _strike(trial, ANY)
    training.send(signal.SIGSTOP)
    time.sleep(trial.rng.uniform(0.1, 3))
    training.send(signal.SIGCONT)
    status = trial.finish(training)
    if status:
        raise Bad("lost", f"status {status}: {last_line(training.output)}")
    trial.compare()
    return EQUAL


def start_twice(trial: Trial) -> str:
    """A second training in the same folder, at any moment: one is refused, one is unharmed."""
    first = _strike(trial, ANY)
    second = trial.start()
    pair = ((first, trial.finish(first)), (second, trial.finish(second)))
    refused = [training for training, status in pair if status]
    trial.happened = bool(refused)
    if len(refused) == 2:
        raise Bad("lost", f"both ended: {last_line(first.output)}; {last_line(second.output)}")
    for training in refused:
        if _IN_USE not in last_line(training.output):
            raise Bad("lost", last_line(training.output))
    trial.compare()
    return REFUSED if refused else EQUAL


def _strike(trial: Trial, phase: str) -> Training:
    """Starts the training and waits for a random moment of a phase, or for its end."""
    return _strike_at(trial, pick(phase, trial.reference.times, trial.rng))


def _strike_at(trial: Trial, moment: Moment) -> Training:
    trial.note = str(moment)
    training = trial.start()
    trial.happened = trial.reach(training, moment)
    return training
