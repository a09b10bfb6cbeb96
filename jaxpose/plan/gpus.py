"""GPUs: peaks and bandwidths by the names that their drivers give them, each with its source.

Peaks are those of the matrix units in bfloat16 with sums in float32, without sparsity. NVIDIA's
data sheets since Ampere also name those with sparsity, which are twice as large; where they name
only these, here is half of them. T4 and V100 have no bfloat16: theirs is the peak in float16.
"""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
      names: regular expression of the names of its devices (`jax.Device.device_kind`). A part of a
        GPU (MIG) and a GPU of a laptop have longer names, which must not match.
      flops: peak in operations per second; a multiply-add is two.
      bandwidth: of the memory, in bytes per second.
      source: document with these values.
    """

    names: str
    flops: float
    bandwidth: float
    source: str


GPUS = (
    Gpu(r"Tesla T4", 65e12, 320e9, "NVIDIA Turing GPU Architecture, white paper, 2018"),
    Gpu(r"Tesla V100-SXM2-\d+GB", 125e12, 900e9, "NVIDIA V100, data sheet, 2020"),
    Gpu(r"NVIDIA A10", 125e12, 600e9, "NVIDIA A10, data sheet, 2021"),
    Gpu(r"NVIDIA A30", 165e12, 933e9, "NVIDIA A30, data sheet, 2021"),
    Gpu(r"NVIDIA A40", 149.7e12, 696e9, "NVIDIA A40, data sheet, 2021"),
    Gpu(r"NVIDIA A100-(SXM4|PCIE|PCIe)-40GB", 312e12, 1555e9, "NVIDIA A100, data sheet, 2021"),
    Gpu(r"NVIDIA A100-SXM4-80GB", 312e12, 2039e9, "NVIDIA A100, data sheet, 2021"),
    Gpu(r"NVIDIA A100 80GB PCIe", 312e12, 1935e9, "NVIDIA A100, data sheet, 2021"),
    Gpu(r"NVIDIA L4", 121e12, 300e9, "NVIDIA L4, data sheet, 2023"),
    Gpu(r"NVIDIA L40", 181.05e12, 864e9, "NVIDIA L40, data sheet, 2023"),
    Gpu(r"NVIDIA L40S", 362.05e12, 864e9, "NVIDIA L40S, data sheet, 2023"),
    Gpu(r"NVIDIA H100 80GB HBM3", 989.5e12, 3350e9, "NVIDIA H100, data sheet (SXM)"),
    Gpu(r"NVIDIA H100 PCIe", 756.5e12, 2000e9, "NVIDIA H100, data sheet of 2022 (PCIe)"),
    Gpu(r"NVIDIA H100 NVL", 835.5e12, 3900e9, "NVIDIA H100, data sheet (NVL)"),
    Gpu(r"NVIDIA H200", 989.5e12, 4800e9, "NVIDIA H200, data sheet (SXM)"),
    Gpu(r"NVIDIA H200 NVL", 835.5e12, 4800e9, "NVIDIA H200, data sheet (NVL)"),
    Gpu(
        r"NVIDIA GeForce RTX 3090",
        71e12,
        936e9,
        "NVIDIA Ampere GA102 GPU Architecture, white paper, 2020",
    ),
    Gpu(
        r"NVIDIA GeForce RTX 4090",
        165.2e12,
        1008e9,
        "NVIDIA Ada GPU Architecture, white paper, 2022",
    ),
    Gpu(
        r"NVIDIA GeForce RTX 5090",
        209.5e12,
        1792e9,
        "NVIDIA RTX Blackwell GPU Architecture, white paper, 2025",
    ),
)


def find_gpu(device_kind: str) -> Gpu | None:
    """The GPU of that name, or None if it is not known.

    >>> find_gpu("NVIDIA H200").bandwidth, find_gpu("NVIDIA H200 MIG 1g.18gb")
    (4800000000000.0, None)
    """
    return next((gpu for gpu in GPUS if re.fullmatch(gpu.names, device_kind)), None)
