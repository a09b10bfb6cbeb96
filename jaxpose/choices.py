"""Error messages for invalid choices."""

import difflib
from collections.abc import Iterable


def nearest(value: object, choices: Iterable[object], cutoff: float = 0.6) -> str | None:
    """Returns the choice most similar to the value, or None if no similarity reaches `cutoff`."""
    matches = difflib.get_close_matches(str(value), map(str, choices), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(
    value: object,
    choices: Iterable[object],
    *,
    before: str = "",
    after: str = "",
    cutoff: float = 0.6,
) -> str:
    """Returns `did you mean 'x'?` between `before` and `after`, or "" if no choice is similar."""
    choice = nearest(value, choices, cutoff)
    return "" if choice is None else f"{before}did you mean {choice!r}?{after}"


LISTED = 12  # choices that fit into a message beside the most similar one


def choose_from(value: object, choices: Iterable[object]) -> str:
    """Returns `did you mean 'x'? choose from x, y`, or the second half if no choice is similar.

    Of more than twelve choices, the most similar one is enough.

    >>> choose_from("adma", ["adam", "sgd"])
    "did you mean 'adam'? choose from adam, sgd"
    """
    choices = list(choices)
    if len(choices) > LISTED and (hint := did_you_mean(value, choices)):
        return hint
    # A lower cutoff, since all choices are listed anyway.
    hint = did_you_mean(value, choices, after=" ", cutoff=0.4)
    return f"{hint}choose from {', '.join(map(str, choices))}"


def check_choice(what: str, value: object, choices: Iterable[object]) -> None:
    """Raises ValueError, with the choices, if `value` is none of them; `what` names it."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{what} {value!r} is not available; {choose_from(value, choices)}")
