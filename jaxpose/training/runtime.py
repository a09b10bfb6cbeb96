"""The environment of a training run: devices, compilation cache, run folder, other hosts."""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxpose import hosts, memory, runs, tasks
from jaxpose.annotations import Dataset
from jaxpose.config import ConfigError, differences
from jaxpose.files import Location, write_atomic
from jaxpose.mesh import gather
from jaxpose.remote import RemoteError, RemotePath
from jaxpose.skeletons import Skeleton
from jaxpose.training import checkpoint, logs

CACHE = pathlib.Path("~/.cache/jaxpose/xla")
_VISIBLE = 10.0  # seconds until a host must see a file that host 0 has written


class NonFiniteError(RuntimeError):
    """The loss or the gradient is not finite."""


def start(config: ConfigDict, program: str) -> None:
    """Sets up determinism, the compilation cache and, if `config` asks for it, several hosts.

    Call it before anything else uses JAX's devices.

    Args:
      config: all settings.
      program: the name that starts the lines about failed hosts.

    Raises:
      ConfigError: the hosts did not connect in time, or their number is not `distributed.hosts`.
      HostsDifferError: another host has other settings, another version or other code.
    """
    if config.deterministic:
        flag = "--xla_gpu_deterministic_ops=true"
        if flag not in os.environ.get("XLA_FLAGS", ""):
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    memory.keep_freed()
    if config.compilation_cache:
        use_compilation_cache()
    if config.distributed.initialize:
        hosts.join(config.distributed, program)
        hosts.agree("settings", hosts.of_settings(config), config.distributed.timeout)


def use_compilation_cache() -> None:
    """Keeps compiled programs on disk; JAX_COMPILATION_CACHE_DIR names another folder."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(CACHE.expanduser()))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def lock_run(folder: Location, cleanup: contextlib.ExitStack, timeout: float) -> None:
    """Creates the run folder and locks it until `cleanup` ends; host 0 holds the lock for all.

    A remote run folder is not locked; a line in the log says so.

    Args:
      folder: the run folder.
      cleanup: releases the lock.
      timeout: seconds to wait for the other hosts.

    Raises:
      runs.LockError: another training is running in the folder.
      HostsDifferError: a host sees another folder.
      ValueError: the folder cannot be written.
    """
    refusal: ValueError | None = None
    if jax.process_index() == 0:
        try:
            line = cleanup.enter_context(runs.locked(folder, logs.log_line))
            if line:
                logs.log_line(line)
        except OSError as error:
            refusal = _unwritable(folder, error)
        except runs.LockError as error:
            refusal = error
    refused = gather(np.array([refusal is not None], np.int32)).any()  # no host waits for another
    if refused:
        raise refusal or runs.LockError(f"{folder}: host 0 could not lock this run folder")
    if hosts.several():
        check_shared(folder, timeout)


def check_shared(folder: Location, timeout: float) -> None:
    """Checks that all hosts see the same run folder: by the lock of host 0 in it, or by its URL.

    Raises:
      HostsDifferError: a host sees another folder of this name, e.g. on its own disk.
    """
    if isinstance(folder, RemotePath):
        hosts.agree("run folder", {"the URL of the run folder": str(folder)}, timeout)
        return
    end = time.monotonic() + _VISIBLE
    while (holder := runs.holder(folder)) is None and time.monotonic() < end:
        time.sleep(0.2)  # network file systems show a new file late
    hint = f"--workdir={folder} must be on a disk that all hosts share"
    hosts.agree("run folder", {"a run folder locked by": holder or "nobody"}, timeout, hint)


def _unwritable(folder: Location, error: OSError) -> ValueError:
    if isinstance(error, RemoteError):  # it names the URL
        return ValueError(f"--workdir cannot be used: {error}")
    return ValueError(f"--workdir={folder} cannot be written: {error.strerror or error}")


def open_run(
    folder: Location, config: ConfigDict, skeleton: Skeleton, facts: dict[str, Any]
) -> None:
    """Creates the run folder, or checks that it belongs to the same run.

    Raises:
      ValueError: the folder cannot be written, has a config.json of something else, or its run
        used other settings or other data.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        runs.check_own(folder)
        if (folder / "config.json").exists():
            _check_same_run(folder, config, skeleton, facts)
        elif checkpoint.steps_in(folder / checkpoint.FOLDER):
            raise checkpoint.CheckpointError(
                f"{folder} has checkpoints but no config.json; restore it or use another --workdir"
            )
        if jax.process_index() == 0:
            if isinstance(folder, pathlib.Path):
                for part in folder.glob(".*.part"):  # of a killed process; the lock is ours
                    part.unlink(missing_ok=True)
            runs.write_info(folder, config, skeleton, **facts)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _check_same_run(
    folder: Location, config: ConfigDict, skeleton: Skeleton, facts: dict[str, Any]
) -> None:
    if not checkpoint.steps_in(folder / checkpoint.FOLDER):
        return  # stopped before its first checkpoint: starts over
    info = runs.read_info(folder)
    changes = differences(info.config, config, tasks.get(config.task).SETTINGS)
    if info.skeleton.joints != skeleton.joints:
        changes.append(f"keypoints: {len(info.skeleton.joints)} -> {skeleton.num_joints}")
    elif info.skeleton.flip_pairs != skeleton.flip_pairs:
        before, after = (_pair_names(skeleton) for skeleton in (info.skeleton, skeleton))
        changes.append(f"left-right pairs: {before} -> {after}")
    changes += [
        f"{key}: {info.facts[key]} -> {value}"
        for key, value in facts.items()
        if key in info.facts and info.facts[key] != value
    ]
    if changes:
        raise ConfigError(
            f"{folder} was started with different settings; use the same settings or another "
            f"--workdir: {'; '.join(changes)}"
        )


def _pair_names(skeleton: Skeleton) -> str:
    """The left-right pairs in words: "left_eye/right_eye, left_ear/right_ear", or "none"."""
    pairs = (f"{skeleton.joints[a]}/{skeleton.joints[b]}" for a, b in skeleton.flip_pairs)
    return ", ".join(pairs) or "none"


class Data(Protocol):
    """Training or evaluation data of `input_pipeline`."""

    @property
    def dataset(self) -> Dataset: ...

    @property
    def num_examples(self) -> int: ...


def compare_hosts(
    config: ConfigDict,
    data: Mapping[str, Data | None],
    files: Mapping[str, str | pathlib.Path],
    weights: Any,
    step: int = 0,
) -> None:
    """Checks that all hosts have the same data and weights; does nothing on one host.

    Args:
      config: all settings.
      data: {"training": data, ...}; None for a split without data.
      files: other files that are read, by name: a text is relative to `data.root`, or ""; a path
        is not.
      weights: arrays.
      step: of the checkpoint that the weights are from.

    Raises:
      HostsDifferError: they differ.
    """
    if not hosts.several():
        return
    parts: dict[str, pathlib.Path | int | str] = {}
    for split, examples in data.items():
        if examples is not None:
            parts[f"{split} annotations"] = examples.dataset.path
            parts[f"{split} examples"] = examples.num_examples
    root = pathlib.Path(config.data.root)
    parts |= {
        name: root / file if isinstance(file, str) else file for name, file in files.items() if file
    }
    record = hosts.of_data(parts) | {"checkpoint": step, "weights": hosts.of_arrays(weights)}
    hosts.agree("data and weights", record, config.distributed.timeout)


def head_boxes(config: ConfigDict) -> pathlib.Path | None:
    """Returns the path of mpii_gt_val.mat, or None if the configuration does not need it.

    Raises:
      ConfigError: the file does not exist.
    """
    if config.eval.metric != "mpii" or not config.data.head_boxes:
        return None
    path = pathlib.Path(config.data.root) / config.data.head_boxes
    if not path.is_file():
        raise ConfigError(
            f"config.data.head_boxes: no such file {path}; with --config.data.head_boxes= the "
            "head size is approximated from the keypoints"
        )
    return path


def write_bad_step(
    folder: Location,
    step: int,
    metrics: dict[str, float],
    batch: dict[str, np.ndarray],
    dataset: Dataset,
    last_good: int | None,
) -> str:
    """Writes bad_step.json, with the ids of the batch in the annotation file; returns the error.

    With several hosts, each host writes the ids of its own part of the batch.
    """
    host = f".{jax.process_index()}" if jax.process_count() > 1 else ""
    path = folder / f"bad_step{host}.json"
    in_file = {"image_id": dataset.image_id_in_file, "annotation_id": dataset.person_id_in_file}
    record = {
        "step": step,
        # Window means; strings, since JSON has no NaN.
        **{key: repr(value) for key, value in metrics.items()},
        # Bottom-up batches have no annotation_id.
        **{
            f"{key}s": [name(number) for number in batch[key].tolist()]
            for key, name in in_file.items()
            if key in batch
        },
        "last_good_checkpoint": last_good,
    }
    write_atomic(path, json.dumps(record, indent=2) + "\n")
    kept = "no checkpoint was written yet" if last_good is None else f"checkpoint {last_good} kept"
    return f"loss or gradient is not finite at step {step}; {kept}; image ids are in {path}"
