"""Left-right pairs of keypoints: read from their names, or declared.

Two names are a pair if swapping left and right in one gives the other: `front_left_paw` and
`front_right_paw`, `lShoulder` and `rShoulder`, `F_L_Hip` and `F_R_Hip`, `eye.L` and `eye.R`, `TL`
and `TR`. The vertebra `L1` is not a left keypoint unless there is an `R1`.
"""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxpose.choices import choose_from

Pairs = tuple[tuple[int, int], ...]

# Words that are recognized anywhere in a name, also without separators (leftear).
_OTHER = {"left": "right", "l": "r", "左": "右"}
_OTHER |= {right: left for left, right in _OTHER.items()}
_LEFT = "l左"  # first letters of the left side
_WORD = re.compile("left|right|左|右", re.IGNORECASE)
# Parts of a name: camelCase, separators and digits end a part.
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")
_SEPARATORS = re.compile(r"[\W_]+")
# Keys of the pairs in a category: Ultralytics', mmpose's, and those of other tools.
KEYS = ("flip_idx", "flip_indices", "flip_pairs", "swap_pairs", "swap", "symmetry")
# Endings that make a lone pair such as `lear` and `rear` a left-right pair. Two pairs need none.
_BODY = frozenset(
    "ank ankle arm brow calf cheek chest ear elb elbow eye eyebrow face finger foot forearm hand "
    "head heel hip hoof kne knee leg nipple palm paw pinky pupil rib sho shin shoulder shldr sole "
    "temple thigh thumb tibia toe toes waist wing wri wrist t b f h u d".split()
)


def pairs_by_name(names: Sequence[str]) -> Pairs:
    """Returns the left-right pairs in the names, sorted, smaller index first.

    >>> pairs_by_name(["nose", "front_left_paw", "front_right_paw", "L1"])
    ((1, 2),)
    """
    exact = {name: index for index, name in enumerate(names)}
    normal: dict[str, list[int]] = collections.defaultdict(list)
    for index, name in enumerate(names):
        normal[_normal(name)].append(index)

    def indexes(candidates: Iterable[str]) -> list[int]:
        rows = [[exact[c]] if c in exact else normal.get(_normal(c), []) for c in candidates]
        return [row[0] for row in rows if len(row) == 1]

    sure = [indexes(_sure_mirrors(name)) for name in names]
    mates = _match(sure)
    # One letter without a separator, as in `lhip`, is weak evidence.
    weak = [indexes(_weak_mirrors(name)) for name in names]
    weak_mates = _match(weak, mates)
    proven = len(weak_mates) > 2 or any(_is_body(names[i], names[j]) for i, j in weak_mates.items())
    if proven:
        mates |= weak_mates
    mates |= _match_loosely(names, mates)
    return tuple(sorted((a, b) for a, b in mates.items() if a < b))


def without_partner(names: Sequence[str], pairs: Pairs) -> list[str]:
    """Returns the left and right names that are in no pair: `left_paw` without `right_paw`."""
    paired = {index for pair in pairs for index in pair}
    return [
        name
        for index, name in enumerate(names)
        if index not in paired and any(_is_clear(name, start, end) for start, end in _sides(name))
    ]


def _is_clear(name: str, start: int, end: int) -> bool:
    """Whether a side needs a partner: not the L of L1 or of L-1, which may be a vertebra."""
    rest = _normal(name[:start] + " " + name[end:])
    return end - start > 1 or (
        bool(rest.strip("_0123456789")) and not name[end : end + 1].isdigit()
    )


def declared_in(
    category: Mapping[str, Any], names: Sequence[str]
) -> tuple[Pairs | None, list[str]]:
    """Returns the pairs that a category of a COCO-format file declares, and notes.

    Args:
      category: with the pairs under one or several of `KEYS`.
      names: the keypoints.

    Returns:
      The pairs, None without a declaration; and notes on an unusual form.

    Raises:
      ValueError: an invalid declaration, or two that differ.
    """
    given = {key: category[key] for key in KEYS if category.get(key) is not None}
    if not given:
        return None, []
    read: dict[str, Pairs | ValueError] = {}
    for key, values in given.items():
        try:
            read[key] = declared(values, names)
        except ValueError as error:
            read[key] = error
    first, *others = given
    pairs, notes = read[first], []
    if isinstance(pairs, ValueError):
        raise ValueError(f"{first!r} {pairs}")
    for key in others:
        if _unordered(read[key]) != _unordered(pairs):
            # Some files count from 1, like COCO's limbs; only a second declaration reveals it.
            if _from_one(given[key], names) != _unordered(pairs):
                raise ValueError(f"{key!r} and {first!r} declare different pairs")
            notes.append(f"{key!r} counts keypoints from 1, as {first!r} shows")
    return pairs, notes


def _from_one(values: Any, names: Sequence[str]) -> set[frozenset[int]] | None:
    try:
        return _unordered(declared(values, names, first=1))
    except ValueError:
        return None


def _unordered(pairs: Pairs | ValueError) -> set[frozenset[int]] | None:
    return None if isinstance(pairs, ValueError) else set(map(frozenset, pairs))


def is_left(name: str, mirrored: str) -> bool | None:
    """Whether the first keypoint of a pair is the left one; None if the names are neutral.

    >>> is_left("TL", "TR"), is_left("rHand", "lHand"), is_left("1", "2")
    (True, False, None)
    """
    for start, _ in _sides(name):
        return name[start].lower() in _LEFT
    for place, end in _fused(name):
        if _normal(_swap(name, [(place, end)])) == _normal(mirrored):
            return name[place].lower() in _LEFT
    return None


def split(names: Sequence[str]) -> list[tuple[str | None, str]]:
    """Returns (side, rest) of each name, equal for one keypoint in differently written files.

    The rest is in lower case, without separators.

    >>> split(["lShoulder", "rShoulder", "Left Upper-Arm", "L1"])
    [('left', 'shoulder'), ('right', 'shoulder'), ('left', 'upperarm'), (None, 'l1')]
    """
    mates = {a: b for pair in pairs_by_name(names) for a, b in (pair, pair[::-1])}
    result = []
    for index, name in enumerate(names):
        spans = [span for span in _sides(name) if index in mates or _is_clear(name, *span)]
        if not spans and index in mates:
            other = _normal(names[mates[index]])
            spans = [span for span in _fused(name) if _normal(_swap(name, [span])) == other]
        side, rest = None, name
        if spans:
            start, end = spans[0]
            side = "left" if name[start].lower() in _LEFT else "right"
            rest = f"{name[:start]} {name[end:]}"
        result.append((side, _normal(rest).replace("_", "")))
    return result


def declared(values: Any, names: Sequence[str], *, first: int = 0) -> Pairs:
    """Reads declared pairs.

    Args:
      values: pairs of keypoints, each [left, right] or "left/right"; or for each keypoint its
        mirror image (null, "" or itself if it has none); or {left: right}. Keypoints are given by
        name or number. [] and "none" declare that there are no pairs.
      names: the keypoints.
      first: number of the first keypoint.

    Returns:
      (left, right) of each pair, in the order of the declaration.

    Raises:
      ValueError: an unknown or repeated keypoint, or another form.

    >>> declared([["a", "b"]], ["nose", "a", "b"]), declared([0, 2, 1], ["nose", "a", "b"])
    (((1, 2),), ((1, 2),))
    """
    if isinstance(values, str):
        values = [values]
    if isinstance(values, Mapping):
        values = [[left, right] for left, right in values.items() if right not in (None, "")]
    if not isinstance(values, list | tuple):
        raise ValueError(f"must be a list of pairs, not {values!r}")
    if not values or list(values) == ["none"]:
        return ()
    by_keypoint = [value is None or isinstance(value, int | float) or value in ("", *names)
                   for value in values if not isinstance(value, list | tuple)]  # fmt: skip
    if len(by_keypoint) == len(values) == len(names) and all(by_keypoint):
        values = [
            [number + first, number + first if mate in (None, "") else mate]
            for number, mate in enumerate(values)
        ]
    mates: dict[int, int] = {}
    pairs: list[tuple[int, int]] = []
    for value in values:
        left, right = (_index(end, names, first) for end in _ends(value, names))
        if left not in mates and right not in mates:
            mates |= {left: right, right: left}
            pairs += [(left, right)] if left != right else []
        elif mates.get(left) != right:
            raise ValueError(f"has {names[left if left in mates else right]!r} in several pairs")
    return tuple(pairs)


def _ends(value: Any, names: Sequence[str]) -> Sequence[Any]:
    """The two keypoints of a declared pair."""
    if isinstance(value, str):
        places = [place for place, letter in enumerate(value) if letter == "/"]
        splits = [(value[:place].strip(), value[place + 1 :].strip()) for place in places]
        best = [split for split in splits if set(split) <= set(names)]  # names may contain a slash
        if splits:
            return (best or splits)[0]
    if isinstance(value, list | tuple) and len(value) == 2:
        return value
    raise ValueError(f"must list pairs, [left, right] or 'left/right', not {value!r}")


def _index(value: Any, names: Sequence[str], first: int) -> int:
    if isinstance(value, str) and value in names:
        return list(names).index(value)
    if isinstance(value, str) and not value.strip().lstrip("-").isdecimal():
        raise ValueError(f"has the unknown keypoint {value!r}; {choose_from(value, names)}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not number.is_integer():
        raise ValueError(f"must list names or numbers of keypoints, not {value!r}")
    if not first <= number < first + len(names):
        raise ValueError(
            f"has the keypoint number {int(number)}; numbers go from {first} to "
            f"{first + len(names) - 1}"
        )
    return int(number) - first


def _sure_mirrors(name: str) -> Iterator[str]:
    """Candidates for the mirrored name, best first; all sides swap in a mirrored image."""
    sides = _sides(name)
    if not sides:
        return
    for letter in _fused(name):
        yield _swap(name, [*sides, letter])
    yield _swap(name, sides)
    # The left pedicle of the vertebra L1: only one of the two is a side.
    for side in sorted(sides, key=lambda side: side[0] - side[1]):
        yield _swap(name, [side])


def _weak_mirrors(name: str) -> Iterator[str]:
    for letter in _fused(name):
        yield _swap(name, [letter])


def _sides(name: str) -> list[tuple[int, int]]:
    """Places of the words left and right, and of a separate l or r."""
    words = [match.span() for match in _WORD.finditer(name)]
    letters = [
        match.span()
        for match in _PART.finditer(name)
        if match[0].lower() in ("l", "r") and not any(a <= match.start() < b for a, b in words)
    ]
    return sorted(words + letters)


def _fused(name: str) -> list[tuple[int, int]]:
    """Places of an l or r at either end of a longer part."""
    words = [match.span() for match in _WORD.finditer(name)]
    ends = itertools.chain.from_iterable(
        (match.start(), match.end() - 1) for match in _PART.finditer(name) if len(match[0]) > 1
    )
    return [
        (place, place + 1)
        for place in ends
        if name[place] in "lrLR" and not any(a <= place < b for a, b in words)
    ]


def _swap(name: str, sides: Iterable[tuple[int, int]]) -> str:
    for start, end in sorted(sides, reverse=True):
        before = name[start:end]
        after = _OTHER[before.lower()]
        if before.isupper():
            after = after.upper()
        elif before[0].isupper():
            after = after.capitalize()
        name = name[:start] + after + name[end:]
    return name


def _match(
    candidates: Sequence[Sequence[int]], taken: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Pairs that are each other's mirror image: index -> index, both ways."""
    mates: dict[int, int] = {}
    used = set(taken or ())
    for index, others in enumerate(candidates):
        for other in others:
            if other != index and index in candidates[other] and not used & {index, other}:
                mates[index], mates[other] = other, index
                used |= {index, other}
    return mates


def _match_loosely(names: Sequence[str], mates: Mapping[int, int]) -> dict[int, int]:
    """Pairs whose names differ in the place or the spelling of the side: l_eye and eye_right."""
    readings: dict[str, dict[str, list[int]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for index, name in enumerate(names):
        for start, end in _sides(name) if index not in mates else ():
            rest = _normal(name[:start] + " " + name[end:])
            side = "left" if name[start].lower() in _LEFT else "right"
            if rest:
                readings[rest][side].append(index)
    pairs: dict[int, int] = {}
    for sides in readings.values():
        if len(sides["left"]) == len(sides["right"]) == 1:
            left, right = sides["left"][0], sides["right"][0]
            if left != right and not {left, right} & set(pairs):
                pairs[left], pairs[right] = right, left
    return pairs


def _is_body(name: str, mirrored: str) -> bool:
    """Whether the part of the name that stays is a part of a body, as in `lhip`."""
    for place, end in _fused(name):
        if _normal(_swap(name, [(place, end)])) == _normal(mirrored):
            (part,) = (m for m in _PART.finditer(name) if m.start() <= place < m.end())
            rest = name[part.start() : place] + name[end : part.end()]
            return rest.lower() in _BODY
    return False


def _normal(name: str) -> str:
    return _SEPARATORS.sub("_", name).strip("_").casefold()
