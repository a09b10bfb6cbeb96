"""Parsers of what the benchmark programs of LiteRT and ncnn print on a phone.

`benchmark_model` exists as that of LiteRT and as that of TensorFlow Lite. Both print one line of
statistics for the warm-up and one for the measurement, in microseconds; LiteRT's adds percentiles.
`benchncnn` prints the minimum, maximum and average in milliseconds.
"""

from __future__ import annotations

import re

_NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"
_COUNT = re.compile(
    rf"count=(\d+)(?: first={_NUMBER})? curr={_NUMBER}"
    rf"(?: min={_NUMBER} max={_NUMBER} avg={_NUMBER} std={_NUMBER})?"
    rf"(?: p5={_NUMBER} median={_NUMBER} p95={_NUMBER})?"
)
_INIT = re.compile(rf"Initialized session in {_NUMBER}ms")
_COMPLETE = re.compile(r"Inference timings in us:|Inference \(avg\):")
_MEMORY = re.compile(
    rf"(?:footprint delta from the start of the tool|Peak memory footprint) \(MB\): init={_NUMBER} "
    rf"overall={_NUMBER}|Overall footprint: +{_NUMBER} MB"
)
_SPLIT = re.compile(
    r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU"
)
_REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]*)\)")
_APPLIED = re.compile(
    r"model graph will (?:be (completely|partially) executed|(not) be executed) by the delegate"
)

_NCNN = re.compile(rf"^\s*(\S+)\s+min =\s*{_NUMBER}\s+max =\s*{_NUMBER}\s+avg =\s*{_NUMBER}", re.M)
_NCNN_LOOPS = re.compile(r"^loop_count = (\d+)", re.M)
_NCNN_DEVICE = re.compile(r"^\[(\d+) ([^\]]+)\]", re.M)
# With these lines, benchncnn prints times all the same, of a network that is not the file's.
_NCNN_FAILED = re.compile(
    r".*(?:not exists or registered|fopen .* failed|load_param.* failed|find_blob_index_by_name"
    r"|network graph not ready|input tensor shape empty|unsupported input shape).*"
)


class LogError(ValueError):
    """A log without a result; the message has the reason that the program printed."""


def parse_benchmark_model(text: str) -> dict:
    """The result in a log of `benchmark_model` (LiteRT or TensorFlow Lite).

    Args:
      text: the log, also with the prefixes of logcat.

    Returns:
      `init_ms`, `first_ms`, `runs`, `min_ms`, `max_ms`, `mean_ms`, `std_ms`, with LiteRT's also
      `median_ms` and `p95_ms`; `memory_mb`, the footprint that the program adds to its start;
      `delegated`, what the GPU delegate took: "all", "none", "part" or "N of M operators". What the
      log does not have is None.

    Raises:
      LogError: the program did not come to its result.
    """
    counts = [match.groups() for match in _COUNT.finditer(text)]
    if not counts or not _COMPLETE.search(text):
        raise LogError(_last_line(text))
    warmup, timed = counts[0], counts[-1]
    count, _, current, least, most, mean, deviation, _, median, p95 = timed
    init, memory = _INIT.search(text), _MEMORY.search(text)
    return {
        "init_ms": float(init[1]) if init else None,
        "first_ms": _ms(warmup[1] or warmup[2]),
        "runs": int(count),
        "min_ms": _ms(least or current),
        "max_ms": _ms(most or current),
        "mean_ms": _ms(mean or current),
        "std_ms": _ms(deviation or "0"),
        "median_ms": None if median is None else _ms(median),
        "p95_ms": None if p95 is None else _ms(p95),
        "memory_mb": float(memory[2] or memory[3]) if memory else None,
        "delegated": _delegated(text),
    }


def parse_benchncnn(text: str) -> dict:
    """The result in a log of `benchncnn` with one network.

    Args:
      text: the log.

    Returns:
      `runs`, `min_ms`, `max_ms`, `mean_ms`; `gpu`, the name of the first Vulkan device or None.

    Raises:
      LogError: the program did not come to its result, or did not read the network.
    """
    failed, results = _NCNN_FAILED.search(text), _NCNN.findall(text)
    if failed or not results:
        raise LogError(failed[0].strip() if failed else _last_line(text))
    _, least, most, mean = results[-1]
    loops, device = _NCNN_LOOPS.search(text), _NCNN_DEVICE.search(text)
    return {
        "runs": int(loops[1]) if loops else None,
        "min_ms": float(least),
        "max_ms": float(most),
        "mean_ms": float(mean),
        "gpu": device[2] if device else None,
    }


def _delegated(text: str) -> str | None:
    """What the GPU delegate took; None if the log says nothing about it."""
    split = _SPLIT.search(text)
    if split:
        return f"{split[1]} of {int(split[1]) + int(split[2])} operators"
    for taken, total, name in _REPLACED.findall(text):
        if "xnnpack" not in name.lower():
            return "all" if taken == total else f"{taken} of {total} operators"
    applied = _APPLIED.search(text)
    if not applied:
        return None
    return {"completely": "all", "partially": "part", "not": "none"}[applied[1] or applied[2]]


def _ms(microseconds: str) -> float:
    return float(microseconds) / 1e3


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the log is empty"
