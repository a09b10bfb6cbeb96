"""Compiles a step, or takes the compiler's results from a folder.

JAX's own cache holds programs that can run, and a program for an absent TPU cannot be loaded from
it. The plan needs only the text of the program and the compiler's figures; these are kept here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import jax

import jaxpose
from jaxpose import jax_api
from jaxpose.files import write_atomic
from jaxpose.plan.hlo import op_names
from jaxpose.plan.topology import Target

CACHE = pathlib.Path("~/.cache/jaxpose/plan")
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_PACKAGES = ("jax", "jaxlib", "libtpu")
_FIGURES = ("flops", "transcendentals", "bytes accessed", "optimal_seconds")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT]?)i?B?"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler says about a step.

    Attributes:
      text: the compiled program (HLO); "" if it does not fit.
      memory: bytes on one device: arguments, outputs, aliased (outputs in the place of arguments),
        temporaries, code, peak.
      cost: XLA's cost analysis of one device: flops, transcendentals, bytes accessed; it counts the
        body of a loop once.
      error: the compiler's message if the step does not fit in memory, or "".
      seconds: duration of the compilation.
      cached: whether it was compiled in an earlier run.
    """

    text: str
    memory: dict[str, int]
    cost: dict[str, float]
    error: str
    seconds: float
    cached: bool = False

    @property
    def needed(self) -> float | None:
        """Bytes that the step needs on one device, or None if the compiler does not say."""
        return needed_memory(self.memory) if self.memory else _needed(self.error)[0]

    @property
    def available(self) -> float | None:
        """Bytes that the compiler had for a step that it refused, or None."""
        return _needed(self.error)[1]

    def fits(self, target: Target) -> bool:
        """Whether the step fits in the memory of a device.

        The TPU compiler refuses a step that does not fit; those of CPU and GPU do not.
        """
        if self.error:
            return False
        if target.chip or target.capacity is None or self.needed is None:
            return True
        return self.needed <= target.capacity


def needed_memory(sizes: dict[str, int]) -> int:
    """Bytes that a program needs on one device, from `memory_figures`."""
    at_once = sizes["arguments"] + sizes["outputs"] - sizes["aliased"] + sizes["temporaries"]
    # XLA's peak on the CPU leaves out the temporaries.
    return max(sizes["peak"], at_once) + sizes["code"]


def versions() -> dict[str, str]:
    """Versions of the packages that decide how a step is compiled."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def compile_step(
    lowered: jax.stages.Lowered, target: Target, folder: pathlib.Path | None
) -> Compiled:
    """Compiles a step, or reads what was kept of the same step.

    Args:
      lowered: the step.
      target: the devices that it was lowered for.
      folder: where results are kept, or None.

    Raises:
      ValueError: the compiler fails for another reason than memory.
    """
    entry = folder / f"{_key(lowered, target)}.json.gz" if folder else None
    kept = _read(entry) if entry else None
    if kept:
        return kept
    compiled = _compile(lowered)
    if entry:
        entry.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps(dataclasses.asdict(compiled)).encode()
        write_atomic(entry, gzip.compress(data, mtime=0))
    return compiled


def _key(lowered: jax.stages.Lowered, target: Target) -> str:
    facts = {
        "step": lowered.as_text(),
        # The compiled program has them too, and the plan sums by them. The text of the step leaves
        # out most of them, and lines of source files, which must not count.
        "names": op_names(jax_api.hlo_text(lowered)),
        "jaxpose": jaxpose.__version__,
        "target": [target.name, target.kind],
        "versions": versions(),
        "flags": [os.environ.get(name, "") for name in _FLAGS],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read(entry: pathlib.Path) -> Compiled | None:
    """The results in a file; None if there is none, or if it is damaged."""
    try:
        return Compiled(**json.loads(gzip.decompress(entry.read_bytes())) | {"cached": True})
    except (OSError, EOFError, ValueError, TypeError):
        return None


def _compile(lowered: jax.stages.Lowered) -> Compiled:
    start = time.perf_counter()
    try:
        with _without_jax_cache():
            program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        message = str(error)
        if "RESOURCE_EXHAUSTED" not in message:
            raise ValueError(f"the compiler fails: {message.splitlines()[0]}") from error
        return Compiled("", {}, {}, message, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    cost = program.cost_analysis() or {}
    return Compiled(
        program.as_text() or "",
        memory_figures(program),
        {name: float(cost[name]) for name in _FIGURES if name in cost},
        "",
        seconds,
    )


def memory_figures(program: jax.stages.Compiled) -> dict[str, int]:
    """The compiler's figures of a program's memory, as `Compiled.memory`; {} if it has none."""
    figures: Any = program.memory_analysis()
    if figures is None:
        return {}
    return {
        "arguments": figures.argument_size_in_bytes,
        "outputs": figures.output_size_in_bytes,
        "aliased": figures.alias_size_in_bytes,
        "temporaries": figures.temp_size_in_bytes,
        "code": figures.generated_code_size_in_bytes,
        "peak": figures.peak_memory_in_bytes,
    }


@contextlib.contextmanager
def _without_jax_cache() -> Iterator[None]:
    name = "jax_enable_compilation_cache"
    before = getattr(jax.config, name)
    try:
        jax.config.update(name, False)
        jax_api.forget_compilation_cache()
        yield
    finally:
        jax.config.update(name, before)
        jax_api.forget_compilation_cache()


def _needed(message: str) -> tuple[float | None, float | None]:
    """Bytes needed and available from a message of the TPU compiler."""
    for pattern in (
        rf"Used {_SIZE} of {_SIZE} hbm",
        rf"\({_SIZE}\) exceeds available HBM \({_SIZE}\)",
    ):
        match = re.search(pattern, message)
        if match:
            number, unit, limit, limit_unit = match.groups()
            return float(number) * _UNITS[unit], float(limit) * _UNITS[limit_unit]
    return None, None
