"""Image sizes as the command line writes them."""

from __future__ import annotations


def parse_size(text: str) -> tuple[int, int]:
    """Parses a size such as "256x192" into (H, W).

    Raises:
      ValueError: the text has another form.

    >>> parse_size("256x192")
    (256, 192)
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(f"size {text!r} must be HxW, height and width in pixels, e.g. 256x192")
    return int(parts[0]), int(parts[1])
