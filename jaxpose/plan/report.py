"""The plan as a dictionary (for JSON) and as text."""

from __future__ import annotations

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from jaxpose import tables
from jaxpose.plan import hlo
from jaxpose.plan.compilation import Compiled, versions
from jaxpose.plan.profile import Cost, make_profile
from jaxpose.plan.topology import Target
from jaxpose.wording import quantity

GIB, MIB = 2**30, 2**20
_SHOWN = 16  # operators in the text; the others are one row


def make_plan(
    config: ConfigDict,
    recipe: str,
    target: Target,
    num_keypoints: int,
    arguments: int,
    compiled: Compiled,
) -> dict[str, Any]:
    """All figures of a step.

    Args:
      config: settings of the step.
      recipe: FILE[:VARIANT] that they come from.
      target: devices that it was compiled for.
      num_keypoints: of the dataset.
      arguments: bytes of state and batch without padding, for a step that does not fit.
      compiled: what the compiler says.

    Returns:
      A dictionary for JSON. Figures that do not exist for the target are absent; bytes, FLOPs and
      cycles are those of one chip and one step.
    """
    devices = len(target.devices)
    plan: dict[str, Any] = {
        "recipe": recipe,
        "topology": target.name,
        "chips": devices,
        "device": target.devices[0].device_kind,
        "chip": dataclasses.asdict(target.chip) if target.chip else None,
        "model": config.model,
        "task": config.task,
        "input_size": list(config.input_size),
        "num_keypoints": num_keypoints,
        "dtype": config.dtype,
        "accumulate": config.accumulate,
        "batch_per_chip": config.batch_size // devices,
        "batch_size": config.batch_size,
        "versions": versions(),
        "compile_seconds": round(compiled.seconds, 2),
        "cached": compiled.cached,
        "refused": bool(compiled.error),
        "memory": _memory(arguments, compiled, target),
    }
    if compiled.error:
        return plan
    profile = make_profile(hlo.parse(compiled.text))
    plan["collectives"] = {
        name: dataclasses.asdict(each) | {"bytes": each.bytes}
        for name, each in profile.collectives.items()
    }
    plan["cost_analysis"] = compiled.cost
    plan["loops_counted_once"] = profile.endless
    if target.chip:
        plan["total"] = _timed(profile.total, target)
        plan["bounds"] = _bounds(profile.total, target)
        plan["phases"] = {name: _timed(cost, target) for name, cost in profile.phases.items()}
        plan["operators"] = {
            name: _timed(cost, target)
            for name, cost in sorted(
                profile.operators.items(), key=lambda item: item[1].cycles, reverse=True
            )
        }
    return plan


def _memory(arguments: int, compiled: Compiled, target: Target) -> dict[str, Any]:
    return {
        "unpadded_arguments": arguments,
        **compiled.memory,
        "needed": compiled.needed,
        "capacity": compiled.available or target.capacity,
        "fits": compiled.fits(target),
    }


def _timed(cost: Cost, target: Target) -> dict[str, float]:
    assert target.chip is not None
    return dataclasses.asdict(cost) | {"cycles_ms": cost.cycles / target.chip.clock * 1e3}


def _bounds(total: Cost, target: Target) -> dict[str, Any]:
    assert target.chip is not None
    compute = total.flops / target.chip.flops * 1e3
    memory = total.hbm_bytes / target.chip.bandwidth * 1e3
    return {
        "compute_ms": compute,
        "hbm_ms": memory,
        "binding": "compute" if compute > memory else "hbm",
    }


def as_text(plan: dict[str, Any]) -> str:
    """The plan as text for a terminal."""
    parts = [_head(plan), _memory_text(plan)]
    if "bounds" in plan:
        parts += [
            _bounds_text(plan),
            _costs_text("phase", plan["phases"], plan["total"]),
            _costs_text("operator", _shortened(plan["operators"]), plan["total"]),
        ]
    elif "cost_analysis" in plan:
        parts.append(_analysis_text(plan["cost_analysis"]))
    if "collectives" in plan:
        parts.append(_collectives_text(plan["collectives"]))
    if plan.get("loops_counted_once"):
        loops = quantity(plan["loops_counted_once"], "loop")
        parts.append(f"{loops} with an unknown number of iterations counted once")
    return "\n\n".join(parts)


def _head(plan: dict[str, Any]) -> str:
    height, width = plan["input_size"]
    micro = f", in {plan['accumulate']} micro-batches" if plan["accumulate"] > 1 else ""
    lines = [
        f"{plan['model']} ({plan['recipe']}), {height}x{width}, "
        f"{quantity(plan['num_keypoints'], 'keypoint')}, "
        f"{plan['dtype']}",
        f"{plan['topology']}: {plan['chips']} x {plan['device']}",
        f"batch: {plan['batch_per_chip']} per chip, {plan['batch_size']} in all{micro}",
    ]
    if chip := plan["chip"]:
        lines.append(
            f"chip: {chip['flops'] / 1e12:g} TFLOP/s (bfloat16), {chip['memory'] / GIB:g} GiB at "
            f"{chip['bandwidth'] / 1e9:g} GB/s, {chip['clock'] / 1e9:g} GHz ({chip['source']})"
        )
    known = ", ".join(f"{package} {version}" for package, version in plan["versions"].items())
    seconds = f"{plan['compile_seconds']:.1f} s"
    done = "refused by the compiler" if plan["refused"] else "compiled"
    earlier = "in an earlier run, " if plan["cached"] else ""
    return "\n".join([*lines, f"{done} {earlier}in {seconds}, by {known}"])


def _memory_text(plan: dict[str, Any]) -> str:
    memory = plan["memory"]
    names = ("arguments", "outputs", "aliased", "temporaries", "peak", "code")
    rows = [["memory per chip", "MiB"]]
    rows += [[name, f"{memory[name] / MIB:,.1f}"] for name in names if name in memory]
    if len(rows) == 1:
        rows.append(["arguments, unpadded", f"{memory['unpadded_arguments'] / MIB:,.1f}"])
    return f"{tables.text(rows)}\n{_verdict(memory)}"


def _verdict(memory: dict[str, Any]) -> str:
    needed, capacity = memory["needed"], memory["capacity"]
    total = "" if needed is None else f": {needed / GIB:.2f} GiB"
    if needed is not None and capacity:
        total = f": {needed / GIB:.2f} of {capacity / GIB:.2f} GiB"
    if memory["fits"]:
        return f"fits{total}"
    over = f", {(needed - capacity) / GIB:.2f} GiB too much" if needed and capacity else ""
    return f"does not fit{total}{over}"


def _bounds_text(plan: dict[str, Any]) -> str:
    bounds, total, chip = plan["bounds"], plan["total"], plan["chip"]
    by_cycles = total["cycles_ms"]
    rows = [
        ["lower bound", "ms", ""],
        ["compute", f"{bounds['compute_ms']:.3f}", f"{total['flops'] / 1e9:,.2f} GFLOP"],
        ["HBM", f"{bounds['hbm_ms']:.3f}", f"{total['hbm_bytes'] / 1e9:,.3f} GB"],
        ["compiler's cycles", f"{by_cycles:.3f}", f"{total['cycles']:,}"],
    ]
    bound = {"compute": "arithmetic", "hbm": "the HBM"}[bounds["binding"]]
    lines = [
        tables.text(rows),
        f"of the two bounds, {bound} binds; the cycles assume {chip['clock'] / 1e9:g} GHz and "
        "leave out collectives",
    ]
    if by_cycles:
        speed = plan["batch_size"] / by_cycles * 1e3
        lines.append(f"by the cycles, {speed:,.0f} examples/s")
    return "\n".join(lines)


def _costs_text(title: str, costs: dict[str, dict], total: dict) -> str:
    rows = [[title, "ms", "cycles %", "HBM MB", "HBM %", "GFLOP", "count"]]
    for name, cost in costs.items():
        rows.append(
            [
                name,
                f"{cost['cycles_ms']:.3f}",
                f"{100 * cost['cycles'] / max(total['cycles'], 1):.1f}",
                f"{cost['hbm_bytes'] / 1e6:,.1f}",
                f"{100 * cost['hbm_bytes'] / max(total['hbm_bytes'], 1):.1f}",
                f"{cost['flops'] / 1e9:,.3f}",
                str(cost["instructions"]),
            ]
        )
    return tables.text(rows)


def _shortened(operators: dict[str, dict]) -> dict[str, dict]:
    """The most expensive operators, and all others as one."""
    items = list(operators.items())
    shown, rest = dict(items[:_SHOWN]), [cost for _, cost in items[_SHOWN:]]
    if rest:
        shown[quantity(len(rest), "other")] = {
            key: sum(cost[key] for cost in rest) for key in rest[0]
        }
    return shown


def _analysis_text(cost: dict[str, float]) -> str:
    rows = [["cost analysis per chip", ""]]
    if "flops" in cost:
        rows.append(["FLOPs", f"{cost['flops'] / 1e9:,.3f} G"])
    if "bytes accessed" in cost:
        rows.append(["bytes accessed", f"{cost['bytes accessed'] / 1e9:,.3f} GB"])
    return tables.text(rows) + "\nXLA counts the body of a loop once"


def _collectives_text(collectives: dict[str, dict]) -> str:
    if not collectives:
        return "no collectives"
    rows = [["collective", "count", "arrays", "MB", ""]]
    for name, each in collectives.items():
        dtypes = ", ".join(f"{dtype} {size / 1e6:,.2f}" for dtype, size in each["dtypes"].items())
        figures = [str(each["count"]), str(each["arrays"]), f"{each['bytes'] / 1e6:,.2f}"]
        rows.append([name, *figures, dtypes])
    return tables.text(rows)
