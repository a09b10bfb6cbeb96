"""FLOPs of a training step and peaks of devices, for the model FLOPs utilization (MFU) of a run.

MFU is defined in Chowdhery et al., PaLM, 2022, appendix B: the operations that the model needs per
second, by the peak of the device. Peaks are those of the matrix units in bfloat16, whatever the
precision of the run.
"""

from __future__ import annotations

import re

import jax

from jaxpose import jax_api
from jaxpose.plan import hlo
from jaxpose.plan.chips import CHIPS
from jaxpose.plan.profile import total_flops

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
# Peaks without sparsity. NVIDIA's data sheets of H100 and H200 name those with sparsity, which are
# twice as large. A part of a GPU (MIG) has a longer name and no peak here.
_GPUS = (
    # NVIDIA A100 Tensor Core GPU, data sheet of June 2021: 312 TFLOP/s
    (r"NVIDIA A100-(SXM4|PCIE|PCIe)-\d+GB|NVIDIA A100 80GB PCIe", 312e12),
    # NVIDIA H100 Tensor Core GPU, data sheet: 1,979 TFLOP/s of H100 SXM
    (r"NVIDIA H100 80GB HBM3", 989.5e12),
    # NVIDIA H200 Tensor Core GPU, data sheet: 1,979 TFLOP/s of H200 SXM
    (r"NVIDIA H200", 989.5e12),
)


def peak_flops(device_kind: str) -> float | None:
    """Peak of a device in bfloat16, in operations per second; None if it is not known.

    Args:
      device_kind: as in `jax.Device.device_kind`.

    >>> peak_flops("TPU v5 lite"), peak_flops("cpu")
    (197000000000000.0, None)
    """
    if device_kind in _TPUS:
        return CHIPS[_TPUS[device_kind]].flops
    return next((peak for name, peak in _GPUS if re.fullmatch(name, device_kind)), None)


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
