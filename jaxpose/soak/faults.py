"""All faults by name."""

import signal
from collections.abc import Callable
from functools import partial

from jaxpose.soak import damage, processes, surroundings
from jaxpose.soak.trial import Trial

# Name -> what is done to a trial; returns the outcome, "equal" or "refused", or raises `Bad`.
FAULTS: dict[str, Callable[[Trial], str]] = {
    "kill_import": partial(processes.kill, phase="import"),
    "kill_data": partial(processes.kill, phase="data"),
    "kill_open": partial(processes.kill, phase="open"),
    "kill_compile": partial(processes.kill, phase="compile"),
    "kill_step": partial(processes.kill, phase="step"),
    "kill_save": partial(processes.kill, phase="save"),
    "kill_evaluation": partial(processes.kill, phase="evaluation"),
    "kill_thrice": processes.kill_thrice,
    "sigterm": partial(processes.stop, number=signal.SIGTERM),
    "sigint": partial(processes.stop, number=signal.SIGINT),
    "pause": processes.pause,
    "start_twice": processes.start_twice,
    "truncate_checkpoint": damage.truncate_checkpoint,
    "remove_checkpoint_file": damage.remove_checkpoint_file,
    "damage_all_checkpoints": damage.damage_all_checkpoints,
    "truncate_metrics": damage.truncate_metrics,
    "damage_config": damage.damage_config,
    "damage_lock": damage.damage_lock,
    "truncate_compiled": damage.truncate_compiled,
    "full_disk": surroundings.full_disk,
    "corrupt_images": surroundings.corrupt_images,
    "slow_images": surroundings.slow_images,
    "not_finite": surroundings.not_finite,
}
