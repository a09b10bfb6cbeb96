"""FLOPs and bytes of a training step and peaks of devices: how well a run uses its device.

Model FLOPs utilization (MFU) is defined in Chowdhery et al., PaLM, 2022, appendix B: the operations
that the model needs per second, by the peak of the device. Peaks are those of the matrix units in
bfloat16, whatever the precision of the run.
"""

from __future__ import annotations

import jax

from jaxpose import jax_api
from jaxpose.plan import hlo
from jaxpose.plan.chips import CHIPS, Chip
from jaxpose.plan.gpus import Gpu, find_gpu
from jaxpose.plan.profile import make_profile, total_flops

# Names that JAX gives to the devices of a chip.
_TPUS = {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
}


def peak_flops(device_kind: str) -> float | None:
    """Peak of a device in bfloat16, in operations per second; None if it is not known.

    Args:
      device_kind: as in `jax.Device.device_kind`.

    >>> peak_flops("TPU v5 lite"), peak_flops("cpu")
    (197000000000000.0, None)
    """
    found = _find(device_kind)
    return found.flops if found else None


def peak_bandwidth(device_kind: str) -> float | None:
    """Bandwidth of a device's memory, in bytes per second; None if it is not known.

    >>> peak_bandwidth("NVIDIA H200"), peak_bandwidth("cpu")
    (4800000000000.0, None)
    """
    found = _find(device_kind)
    return found.bandwidth if found else None


def _find(device_kind: str) -> Chip | Gpu | None:
    return CHIPS[_TPUS[device_kind]] if device_kind in _TPUS else find_gpu(device_kind)


def step_bytes(program: jax.stages.Compiled) -> int | None:
    """Bytes that a compiled step moves to and from the main memory of a device.

    They are counted as in `jaxpose plan`: loops as often as they run.

    Returns:
      Their number; None if a loop has an unknown length, or if the text is not understood.
    """
    try:
        profile = make_profile(hlo.parse(program.as_text() or ""))
    except (AssertionError, LookupError, ValueError):
        return None
    return None if profile.endless else profile.total.hbm_bytes


def step_flops(lowered: jax.stages.Lowered) -> int | None:
    """Operations of the convolutions and matrix products of a step, on one device.

    They are counted as in `jaxpose plan`, but in the program before compilation. XLA's own cost
    analysis counts the body of a loop once, and compilers for GPUs replace convolutions by calls
    of a library.

    Returns:
      Their number, a multiply-add being two; None if some are in a loop of unknown length, or if
      the text of the program is not understood, as that of a future version of XLA may be.
    """
    try:
        return total_flops(hlo.parse(jax_api.hlo_text(lowered)))
    except (AssertionError, LookupError, ValueError):
        return None
