"""Checks that turn a wrong option or image size into one clear line before any compilation."""

from __future__ import annotations

from collections.abc import Iterable

import jax

from jaxpose.choices import choose_from
from jaxpose.geometry import nearest_size


def check_choice(what: str, value: object, choices: Iterable[object]) -> None:
    """Raises ValueError unless `value` is one of `choices`; names the nearest one."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{what} {value!r} is unknown; {choose_from(value, choices)}")


def check_images(x: jax.Array, multiple: int, model: str) -> None:
    """Raises ValueError unless x is [B,H,W,3] with H and W positive multiples of `multiple`."""
    if x.ndim != 4 or x.shape[-1] != 3:
        raise ValueError(f"{model}: images must be [B,H,W,3], got shape {tuple(x.shape)}")
    height, width = x.shape[1:3]
    if height % multiple or width % multiple or not height or not width:
        nearest = "x".join(map(str, nearest_size((height, width), multiple)))
        raise ValueError(
            f"{model}: input size {height}x{width} (HxW) must be multiples of {multiple}; "
            f"the nearest valid size is {nearest}"
        )
