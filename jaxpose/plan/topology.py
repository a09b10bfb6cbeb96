"""What a step is compiled for: a TPU slice by name, this machine's CPU, or its GPUs."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

import jax

from jaxpose import jax_api
from jaxpose.choices import nearest
from jaxpose.plan.chips import CHIPS, MOST_CHIPS, Chip, count, slice_names
from jaxpose.runtimes import require
from jaxpose.wording import quantity

# libtpu looks for a TPU of this kind, and without these variables asks the network for one.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    # Several plans may be made at once: none of them opens a TPU, which the lock is for.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices to compile for.

    Attributes:
      name: as given, e.g. "v5e:4x4", "cpu:4" or "gpu".
      devices: JAX's devices; those of a slice can compile but not run.
      chip: the TPU chip, or None.
      capacity: memory in bytes that a program can use on a device, or None if unknown.
    """

    name: str
    devices: list[Any]
    chip: Chip | None
    capacity: float | None

    @property
    def kind(self) -> str:
        """JAX's name of the device, with the version of its compiler."""
        return f"{self.devices[0].device_kind}, {self.devices[0].client.platform_version}"


def find_target(name: str) -> Target:
    """The devices of a name.

    Args:
      name: CHIP:SHAPE for a TPU slice, "cpu" or "cpu:N" for N devices of this machine's CPU, or
        "gpu" for its GPUs.

    Raises:
      ValueError: no such chip or shape, with the nearest; or this machine has no GPU.
      ImportError: libtpu is not installed.
    """
    kind, _, shape = name.partition(":")
    if kind == "cpu":
        return Target(name, _cpu_devices(shape), None, None)
    if name == "gpu":
        return _gpus()
    chip = _checked(name, kind, shape)
    require("libtpu")
    return Target(name, _slice(chip, shape), chip, chip.usable)


def _checked(name: str, kind: str, shape: str) -> Chip:
    chip = CHIPS.get(kind)
    if chip is None:
        hint = nearest_slice(name) or nearest(name, slice_names(), cutoff=0.4)
        hint = f"did you mean {hint}? " if hint else ""
        kinds = ", ".join(f"{chip}:SHAPE" for chip in CHIPS)
        raise ValueError(f"--topology={name}: {hint}choose from {kinds}, cpu, cpu:N, gpu")
    sides = len(chip.slices[0].split("x"))
    written = re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape) and len(shape.split("x")) == sides
    if shape in chip.slices or (sides == 3 and written and count(shape) <= MOST_CHIPS):
        return chip
    raise _no_such_shape(name, chip, shape)


def _no_such_shape(name: str, chip: Chip, shape: str) -> ValueError:
    sides = re.findall(r"[1-9]\d*", shape)
    near = chip.of_size(count("x".join(sides))) if sides else chip.slices[0]
    return ValueError(
        f"--topology={name}: did you mean {chip.name}:{near}? shapes of {chip.name} are "
        f"{', '.join(chip.slices)}"
    )


def nearest_slice(accelerator: str) -> str | None:
    """The slice of one of Google Cloud's accelerator types, such as v5litepod-16; None for others.

    >>> nearest_slice("v5litepod-16"), nearest_slice("v4-32")
    ('v5e:4x4', 'v4:2x2x4')
    """
    match = re.fullmatch(r"(v\w+?)-(\d+)", accelerator.replace("litepod", "e"))
    if not match or match[1] not in CHIPS:
        return None
    chip = CHIPS[match[1]]
    cores = 1 if chip.name.endswith("e") else 2  # by which v4 and v5p are counted
    return f"{chip.name}:{chip.of_size(int(match[2]) // cores)}"


def _slice(chip: Chip, shape: str) -> list[Any]:
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    jax.config.update("jax_platforms", "cpu")  # other devices of this machine are not needed
    name = f"{chip.name}:{shape}"
    options: dict[str, Any] = {}
    if chip.name == "v4":  # as on Cloud TPU: one device per chip, not one per core
        options["chip_config_name"] = "megacore"
    if count(shape) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        return jax_api.get_topology_desc(name, "tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        text = str(error).splitlines()[0]
        if text.startswith("INVALID_ARGUMENT"):
            raise _no_such_shape(name, chip, shape) from error
        raise ValueError(f"--topology={name}: libtpu fails: {text}") from error


def _cpu_devices(number: str) -> list[Any]:
    if number and not re.fullmatch(r"[1-9]\d*", number):
        raise ValueError(f"--topology=cpu:{number}: give a number of devices, e.g. cpu:4")
    needed = int(number or 1)
    jax.config.update("jax_platforms", "cpu")
    try:
        jax.config.update("jax_num_cpu_devices", needed)
    except RuntimeError:  # JAX has started, as in tests; it may have enough devices
        pass
    devices = jax.devices("cpu")
    if len(devices) < needed:
        raise ValueError(
            f"--topology=cpu:{number}: JAX has started with {quantity(len(devices), 'device')}"
        )
    return devices[:needed]


def _gpus() -> Target:
    try:
        devices = jax.devices("gpu")
    except RuntimeError:
        raise ValueError("--topology=gpu: JAX sees no GPU on this machine") from None
    statistics = devices[0].memory_stats() or {}
    return Target("gpu", devices, None, statistics.get("bytes_limit"))
