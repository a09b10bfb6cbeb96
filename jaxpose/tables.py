"""Tables as aligned text and as Markdown; the first row has the column names."""

from __future__ import annotations

import re
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]

_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+%?|nan|-|")


def text(rows: Rows) -> str:
    """A table with padded columns: numbers right-aligned, words left-aligned.

    A column is numeric if every cell below its name is a number, "-" or empty.
    """
    columns = [_padded(column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _padded(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    numbers = all(_NUMBER.fullmatch(cell) for cell in column[1:])
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in column]


def markdown(rows: Rows) -> str:
    """A Markdown table."""
    header, *body = rows
    lines = (header, ["---"] * len(header), *body)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
