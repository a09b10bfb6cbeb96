"""The run folder: config.json, checkpoints, and loading a network with its weights."""

from jaxpose.runs.arrays import CheckpointError, DamagedError
from jaxpose.runs.folder import (
    Run,
    load_run,
    parse_step,
    read_arrays,
    read_run,
    run_folder,
    write_run,
)
from jaxpose.runs.info import RunInfo, check_own, read_info, write_info
from jaxpose.runs.lock import LockError, holder, locked
from jaxpose.runs.weights_file import is_weights_file, read_weights, write_weights

__all__ = [
    "CheckpointError",
    "DamagedError",
    "LockError",
    "Run",
    "RunInfo",
    "check_own",
    "holder",
    "is_weights_file",
    "load_run",
    "locked",
    "parse_step",
    "read_arrays",
    "read_info",
    "read_run",
    "read_weights",
    "run_folder",
    "write_info",
    "write_run",
    "write_weights",
]
