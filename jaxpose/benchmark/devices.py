"""The device that the training benchmark measures."""

from __future__ import annotations

import os

import jax

from jaxpose.benchmark import report

CHOICES = ("cpu", "gpu")


def open_device(name: str | None) -> jax.Device:
    """The first device of JAX, of the kind `name`; call it before anything else uses JAX's devices.

    Args:
      name: "cpu", "gpu", or None for what JAX has.

    Raises:
      ValueError: JAX sees no GPU.
    """
    # By default JAX takes three quarters of a GPU's memory at once; other contestants need it too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if name == "cpu":
        jax.config.update("jax_platforms", "cpu")
    device = jax.devices()[0]
    if name not in (None, device.platform):
        raise ValueError(f"--device={name}: JAX sees no {name.upper()} on this machine")
    return device


def describe(device: jax.Device, asked: str | None) -> str:
    """The device in one line.

    Args:
      device: from `open_device`.
      asked: the `name` given there.
    """
    if device.platform == "cpu":
        why = "as asked for" if asked else "JAX sees no GPU on this machine"
        return f"CPU ({why}): {report.host_cpu()}"
    limit = (device.memory_stats() or {}).get("bytes_limit")
    memory = f", {limit / 2**30:.1f} GiB for JAX" if limit else ""
    return f"{device.platform.upper()}: {device.device_kind}{memory}"
