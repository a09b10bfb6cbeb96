"""Checks that turn a wrong option or image size into one clear line before any compilation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import jax


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raises ValueError unless `value` is one of `choices`; names the nearest one."""
    choices = list(choices)
    if value in choices:
        return
    near = difflib.get_close_matches(str(value), map(str, choices), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"{what} {value!r} is unknown; {hint}choose from {', '.join(map(str, choices))}"
    )


def check_images(x: jax.Array, multiple: int, model: str) -> None:
    """Raises ValueError unless x is [B,H,W,3] with H and W positive multiples of `multiple`."""
    if x.ndim != 4 or x.shape[-1] != 3:
        raise ValueError(f"{model}: images must be [B,H,W,3], got shape {tuple(x.shape)}")
    height, width = x.shape[1:3]
    if height % multiple or width % multiple or not height or not width:
        near = "x".join(
            str(max(multiple, (side + multiple // 2) // multiple * multiple))
            for side in (height, width)
        )
        raise ValueError(
            f"{model}: input size {height}x{width} (HxW) must be multiples of {multiple}; "
            f"the nearest valid size is {near}"
        )
