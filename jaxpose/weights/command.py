"""`jaxpose weights`: lists the checkpoints that `jaxpose import` takes by name."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpose import tables, weights
from jaxpose.choices import choose_from
from jaxpose.weights import Checkpoint
from jaxpose.weights.download import address, cached_path, local_path
from jaxpose.wording import quantity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose weights`."""
    parser.add_argument(
        "name",
        metavar="MODEL|DATASET|NAME",
        nargs="?",
        help="list only the checkpoints of this network or dataset, or with this start of their "
        "names, or describe one checkpoint",
    )
    add_table_argument(parser)


def add_table_argument(parser: argparse.ArgumentParser) -> None:
    """--table, of `jaxpose weights` and `jaxpose import`."""
    parser.add_argument(
        "--table", metavar="FILE.json", help="table of checkpoints instead of the public one"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the table, or one row in full."""
    table = weights.load_table(args.table)
    chosen = [c for c in table if args.name in (None, c.model, c.dataset, c.name)]
    if not chosen and args.name:
        chosen = [c for c in table if c.name.startswith(args.name)]
    if not chosen:
        choices = [*dict.fromkeys(c.model for c in table), *dict.fromkeys(c.dataset for c in table)]
        raise ValueError(f"no checkpoints of {args.name!r}: {choose_from(args.name, choices)}")
    if args.name in {c.name for c in table}:
        print(describe(chosen[0]))
    else:
        print(listing(chosen))
    return 0


def listing(checkpoints: Sequence[Checkpoint]) -> str:
    """The checkpoints as a table; parts of networks; those that cannot be used, with the reason."""
    usable = [c for c in checkpoints if not c.refused and not c.part]
    header = ["name", "dataset", "joints", "input", "codec", "published", "license", "size"]
    rows = [header]
    for c in usable:
        joints = str(c.skeleton.num_joints) if c.skeleton else "?"
        pixels = "x".join(map(str, c.input_size))
        size = f"{c.size / 1e6:.0f} MB" if c.size else ""
        rows.append([c.name, c.dataset, joints, pixels, c.codec, c.score, c.license, size])
    used = [number for number in range(len(header)) if any(row[number] for row in rows[1:])]
    lines = [tables.text([[row[n] for n in used] for row in rows])] if usable else []
    parts = [
        f"{c.name}: {c.part} of {c.model} ({c.score})"
        for c in checkpoints
        if c.part and not c.refused
    ]
    if parts:
        lines += ["", "to start a training from, with --config.init_from=NAME:", *parts]
    refused = [f"{c.name}: {c.refused}" for c in checkpoints if c.refused]
    if refused:
        lines += ["", "not importable:", *refused]
    return "\n".join(lines)


def describe(checkpoint: Checkpoint) -> str:
    """All about one checkpoint, one fact a line."""
    c = checkpoint
    scores = ", ".join(f"{metric} {value:g}" for metric, value in c.scores.items())
    known = (
        f"{quantity(c.skeleton.num_joints, 'keypoint')} ({c.skeleton.name})"
        if c.skeleton
        else "not known"
    )
    facts = {
        "model": f"{c.model}, only its {c.part}" if c.part else c.model,
        "dataset": c.dataset,
        "keypoints": known,
        "input": "x".join(map(str, c.input_size)),
        "codec": f"{c.codec}, sigma {c.sigma:g}" if c.sigma else c.codec,
        "options": ", ".join(f"{key}={value}" for key, value in c.options.items()),
        "settings": ", ".join(f"{key}={value}" for key, value in c.settings.items()),
        "published": scores,
        "conditions": c.note,
        "also": "; ".join(map(_facts, c.also)),
        "source": c.page,
        "mmpose": c.mmpose,
        "license": c.license,
        "address": address(c.url),
        "SHA-256": f"begins with {c.sha256}" if c.sha256 else "not known",
        "cache": "" if local_path(c) else str(cached_path(c)),
        "not importable": c.refused,
    }
    width = max(map(len, facts))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items() if value)


def _facts(facts: Mapping[str, Any]) -> str:
    """Values by key, except for the note: "ap 0.7, multi-scale test"."""
    return ", ".join(str(v) if key == "note" else f"{key} {v}" for key, v in facts.items())
