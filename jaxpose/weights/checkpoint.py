"""A row of the table of checkpoints, read strictly."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpose.choices import choose_from, did_you_mean
from jaxpose.models.sizes import parse_size
from jaxpose.public_skeletons import BY_DATASET
from jaxpose.skeletons import Skeleton

HEATMAP_CODECS = ("gaussian", "dark", "udp")
CODECS = (*HEATMAP_CODECS, "simcc")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "model": str,
    "part": str,
    "url": str,
    "sha256": str,
    "sha256_prefix": str,
    "dataset": str,
    "input": str,
    "codec": str,
    "sigma": (int, float),
    "skeleton": (str, dict),
    "keep_keypoints": int,
    "options": dict,
    "settings": dict,
    "scores": dict,
    "note": str,
    "page": str,
    "mmpose": str,
    "also": list,
    "license": str,
    "licence": str,
    "size": int,
    "refused": str,
}
_NEEDED = ("model", "url", "dataset", "input")
_PARTS = ("backbone",)
_HASH_DIGITS = 7  # at least, of a SHA-256


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A file with trained weights, and how to use them.

    Attributes:
      name: unique in its table.
      model: a name from `jaxpose models`.
      url: http, https or file address.
      sha256: first digits of the file's SHA-256, or all of them.
      dataset: what it was trained and scored on.
      input_size: (H, W) in pixels.
      codec: "gaussian" (decoded by a quarter of a pixel), "dark", "udp" or "simcc".
      sigma: of the targets, in heatmap pixels; None for the default of the task.
      skeleton: the keypoints; None if they are not known.
      keep_keypoints: number of leading output channels that are used; None for all.
      options: of the model.
      settings: further settings of the run, by dotted key.
      scores: published scores by metric, as published.
      note: the conditions of the scores.
      page: where they are published.
      mmpose: the release of mmpose that has the page; "" if it is not known.
      also: further scores, each with its conditions.
      license: of the weights; "" if it is not known.
      size: of the file, in bytes; None if it is not known.
      refused: why it cannot be used; "" if it can.
      part: "backbone" if the file has no other part of `model`; "" for a whole network.
    """

    name: str
    model: str
    url: str
    sha256: str
    dataset: str
    input_size: tuple[int, int]
    codec: str = "gaussian"
    sigma: float | None = 2.0
    skeleton: Skeleton | None = None
    keep_keypoints: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    note: str = ""
    page: str = ""
    mmpose: str = ""
    also: Sequence[Mapping[str, Any]] = ()
    license: str = ""
    size: int | None = None
    refused: str = ""
    part: str = ""

    @property
    def base_name(self) -> str:
        """MODEL-DATASET-HxW, which several checkpoints may share."""
        height, width = self.input_size
        return f"{self.model}-{self.dataset}-{height}x{width}"

    @property
    def score(self) -> str:
        """The main published score, e.g. "AP 0.749"; "" if there is none."""
        for metric in _MAIN_SCORES:
            if metric in self.scores:
                return f"{_MAIN_SCORES[metric]} {self.scores[metric]:g}"
        return next((f"{key} {value:g}" for key, value in self.scores.items()), "")


_MAIN_SCORES = {
    "ap": "AP",
    "wholeap": "whole-body AP",
    "mean": "mean",
    "total": "total",
    "pck@0.2": "PCK@0.2",
    "pck@0.3": "PCK@0.3",
    "pckh@0.7": "PCKh@0.7",
    "meanacc": "mean accuracy",
    "pck": "PCK",
    "nme": "NME",
    "top1": "top-1",
}


def read_row(
    row: Any, where: str, folder: pathlib.Path | None, license_: str, models: tuple[str, ...]
) -> Checkpoint:
    """Checks one row of a table; its name is "" unless the row has one.

    Args:
      row: from the JSON file.
      where: start of error messages, e.g. "weights.json: row 3".
      folder: of the table, for addresses that are relative paths; None for a table without folder.
      license_: of rows that state none.
      models: names of the models.

    Raises:
      ValueError: a key that is missing or unknown, or a value that is not valid.
    """
    if not isinstance(row, dict):
        raise ValueError(f"{where}: must be a dict, not {type(row).__name__}")
    where = f"{where} ({row.get('name') or row.get('model') or row.get('url') or 'no name'})"
    row = {key: value for key, value in row.items() if value is not None}  # null means absent
    for key, value in row.items():
        if key not in _TYPES:
            raise ValueError(
                f"{where}: unknown key {key!r}{did_you_mean(key, _TYPES, before='; ')}"
            )
        if not isinstance(value, _TYPES[key]) or isinstance(value, bool):
            raise ValueError(f"{where}: {key}={value!r} has the wrong type")
    for key in _NEEDED:
        if not row.get(key):
            raise ValueError(f"{where}: {key} is missing")
    if row["model"] not in models:
        raise ValueError(f"{where}: model={row['model']!r}: {choose_from(row['model'], models)}")
    codec = row.get("codec", "gaussian")
    if codec not in CODECS:
        raise ValueError(f"{where}: codec={codec!r}: {choose_from(codec, CODECS)}")
    try:
        input_size = parse_size(row["input"])
    except ValueError as error:
        raise ValueError(f"{where}: input: {error}") from None
    if row.get("part", "backbone") not in _PARTS:
        raise ValueError(f"{where}: part={row['part']!r}: {choose_from(row['part'], _PARTS)}")
    keep = row.get("keep_keypoints")
    sigma = row.get("sigma", None if codec == "simcc" else 2.0)
    digits = _digits(row, where)
    reason = "" if digits else "the table has no SHA-256 of its file"
    for key, value in (("sigma", row.get("sigma")), ("keep_keypoints", keep)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{where}: {key}={value} must be greater than 0")
    return Checkpoint(
        name=row.get("name", ""),
        model=row["model"],
        url=_address(row["url"], where, folder),
        sha256=digits,
        dataset=row["dataset"],
        input_size=input_size,
        codec=codec,
        sigma=None if sigma is None else float(sigma),
        skeleton=_skeleton(row, where),
        keep_keypoints=keep,
        options=row.get("options", {}),
        settings=row.get("settings", {}),
        scores=_numbers(row.get("scores", {}), where),
        note=row.get("note", ""),
        page=row.get("page", ""),
        mmpose=row.get("mmpose", ""),
        also=_further(row.get("also", []), where),
        license=row.get("license") or row.get("licence") or license_,
        size=row.get("size"),
        refused=row.get("refused") or reason,
        part=row.get("part", ""),
    )


def _digits(row: Mapping[str, Any], where: str) -> str:
    digits = (row.get("sha256") or row.get("sha256_prefix") or "").lower()
    if not digits:
        return ""
    if not re.fullmatch(rf"[0-9a-f]{{{_HASH_DIGITS},64}}", digits):
        raise ValueError(
            f"{where}: sha256 or sha256_prefix must be {_HASH_DIGITS} to 64 hexadecimal digits of "
            "the file's SHA-256"
        )
    return digits


def _address(url: str, where: str, folder: pathlib.Path | None) -> str:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme in ("http", "https", "file"):
        return url
    if scheme and "://" in url:
        raise ValueError(f"{where}: url={url!r} must be an http, https or file address, or a path")
    path = pathlib.Path(url).expanduser()
    if not path.is_absolute():
        if folder is None:
            raise ValueError(f"{where}: url={url!r} must be an http, https or file address")
        path = folder / path
    return path.absolute().as_uri()


def _further(also: list[Any], where: str) -> list[Mapping[str, Any]]:
    for facts in also:
        if not isinstance(facts, dict):
            raise ValueError(f"{where}: also: {facts!r} must be a dict of scores")
    return also


def _numbers(scores: Mapping[str, Any], where: str) -> Mapping[str, float]:
    for metric, value in scores.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{where}: scores: {metric}={value!r} must be a number")
    return scores


def _skeleton(row: Mapping[str, Any], where: str) -> Skeleton | None:
    given = row.get("skeleton")
    if given is None:
        return BY_DATASET.get(row["dataset"])
    if isinstance(given, str):
        if given not in BY_DATASET:
            raise ValueError(f"{where}: skeleton={given!r}: {choose_from(given, BY_DATASET)}")
        return BY_DATASET[given]
    try:
        return Skeleton.from_dict(given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: skeleton: {error}") from None
