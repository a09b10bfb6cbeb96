"""What is said of a value that is none of those there are: the nearest of them."""

import difflib
from collections.abc import Iterable


def nearest(value: object, choices: Iterable[object], cutoff: float = 0.6) -> str | None:
    """The choice spelt most like the value; None when all are less alike than `cutoff` (0 to 1)."""
    found = difflib.get_close_matches(str(value), map(str, choices), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(
    value: object,
    choices: Iterable[object],
    *,
    before: str = "",
    after: str = "",
    cutoff: float = 0.6,
) -> str:
    """`did you mean 'x'?` between the text before and after; "" when no choice is near."""
    near = nearest(value, choices, cutoff)
    return "" if near is None else f"{before}did you mean {near!r}?{after}"


def choose_from(value: object, choices: Iterable[object]) -> str:
    """`did you mean 'x'? choose from x, y`; the second half alone when no choice is near.

    >>> choose_from("adma", ["adam", "sgd"])
    "did you mean 'adam'? choose from adam, sgd"
    """
    choices = list(choices)
    # All choices follow, so a worse guess does no harm.
    hint = did_you_mean(value, choices, after=" ", cutoff=0.4)
    return f"{hint}choose from {', '.join(map(str, choices))}"
