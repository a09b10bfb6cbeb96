"""Times on an Android phone: a folder that measures them through adb, and its logs as a table.

Only numbers from such a log are reported. What the papers print for phones stands in rows of its
own, marked as quoted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxpose.benchmark.adb_logs import LogError, parse_benchmark_model, parse_benchncnn
from jaxpose.benchmark.adb_script import LITERT, NCNN, PhoneRun, readme, script
from jaxpose.models.published import INFO
from jaxpose.runtimes import kind, read_metadata, size_of

SCRIPT = "run.sh"
COLUMNS = (
    "model runtime device precision threads input init_ms first_ms runs min_ms median_ms p95_ms "
    "mean_ms max_ms images_s file_kb memory_mb delegated quoted_ms source"
).split()
_PLAN = "plan.json"
_PROGRAMS = {"litert": LITERT, "ncnn": NCNN}  # by export target
_DEVICES = (("CPU", 1), ("CPU", 4), ("GPU", 1))
_PHONES = "Snapdragon"  # in the names of the devices of the published speeds


def emit(folder: Path, files: Sequence[Path], *, runs: int) -> None:
    """Writes a folder with a script that times files on a phone.

    Args:
      folder: new or empty.
      files: .tflite and .param files.
      runs: timed calls of each measurement.

    Raises:
      ValueError: the folder is not empty, or a file is of another kind; nothing is written.
      FileNotFoundError: a file does not exist.
    """
    if not files:
        raise ValueError("--emit-adb needs files to time: .tflite and .param")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: choose another folder")
    named: dict[str, Path] = {}
    for file in files:
        if kind(file) not in _PROGRAMS:
            raise ValueError(
                f"{file}: phones are timed with .tflite and .param files; export one with "
                "`jaxpose export --to litert,ncnn`"
            )
        name = re.sub(r"[^\w.-]", "_", file.name, flags=re.ASCII)  # has no meaning for shells
        if name in named:
            raise ValueError(f"{file} and {named[name]} have the same name: rename one")
        named[name] = file
    plan = [run for name, file in named.items() for run in _runs_of(name, file)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _write(unfinished, named, plan, runs)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(folder: Path, named: dict[str, Path], plan: Sequence[PhoneRun], runs: int) -> None:
    models = folder / "models"
    models.mkdir(parents=True)
    for name, file in named.items():
        shutil.copyfile(file, models / name)
    (folder / SCRIPT).write_text(script(plan, runs))
    (folder / SCRIPT).chmod(0o755)
    (folder / "README.md").write_text(readme(plan, runs))
    text = json.dumps([dataclasses.asdict(run) for run in plan], indent=1)
    (folder / _PLAN).write_text(text + "\n")


def _runs_of(name: str, file: Path) -> list[PhoneRun]:
    metadata = read_metadata(file)
    height, width = metadata["input_size"]
    program = _PROGRAMS[kind(file)]
    facts = {
        "file": name,
        "model": metadata["model"],
        "precision": metadata["precision"],
        "input": f"1x3x{height}x{width}" if program == NCNN else f"1x{height}x{width}x3",
        "size": [height, width],
        "file_kb": round(size_of(file) / 1024),
    }
    return [
        PhoneRun(f"{name}.{device.lower()}{threads}.log", program, device, threads, facts)
        for device, threads in _DEVICES
    ]


def read(folder: Path) -> tuple[list[dict], dict[str, str]]:
    """Reads the logs of a folder that `emit` wrote.

    Returns:
      A row per log, then the phone times that the papers print for these networks, in the column
      `quoted_ms`; and the conditions, with the logs that have no result.

    Raises:
      ValueError: the folder is not one of `emit`, or the script has not run.
    """
    try:
        plan = [PhoneRun(**run) for run in json.loads((folder / _PLAN).read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{folder}: not a folder of --emit-adb: {_PLAN} is missing") from error
    logs = folder / "logs"
    if not any((logs / run.log).is_file() for run in plan):
        raise ValueError(f"{folder}: there are no logs: connect a phone and run {SCRIPT} first")
    rows, problems = [], []
    for run in plan:
        try:
            rows.append(_row(run, logs / run.log))
        except FileNotFoundError:
            problems.append(f"{run.log}: not run")
        except LogError as error:
            problems.append(f"{run.log}: {error}")
    quoted = _quoted(sorted({run.facts["model"] for run in plan}))
    return rows + quoted, _terms(_phone(logs / "phone.txt"), problems, bool(quoted))


def _row(run: PhoneRun, log: Path) -> dict:
    text = log.read_text(errors="replace")
    facts = {key: value for key, value in run.facts.items() if key not in ("file", "size")}
    row = facts | {"threads": run.threads, "device": run.device, "source": f"logs/{run.log}"}
    if run.program == NCNN:
        result = parse_benchncnn(text)
        gpu = result.pop("gpu")
        row |= {"runtime": "ncnn", **result}
        if run.device == "GPU":
            row["device"] = f"Vulkan ({gpu or 'no device named in the log'})"
    else:
        row |= {"runtime": "litert", **parse_benchmark_model(text)}
        if run.device == "CPU":
            row["delegated"] = None
        elif row["delegated"] == "none":
            row["device"] = "CPU (the GPU took nothing)"
    row["images_s"] = 1e3 / (row.get("median_ms") or row["mean_ms"])
    return row


def _quoted(models: Iterable[str]) -> list[dict]:
    """The phone times of the papers for these models."""
    return [
        {
            "model": name,
            "device": speed.device,
            "input": f"{speed.input_size[0]}x{speed.input_size[1]}",
            "quoted_ms": speed.value,
            "source": f"quoted: {speed.source}",
        }
        for name in models
        if name in INFO
        for speed in INFO[name].speeds
        if _PHONES in speed.device and speed.unit == "ms"
    ]


def _phone(path: Path) -> str:
    """The phone by the properties that the script wrote."""
    if not path.is_file():
        return f"unknown: {path.name} is missing"
    lines = (line.partition("=") for line in path.read_text().splitlines())
    values = {key.removeprefix("ro."): value.strip() for key, _, value in lines if value.strip()}
    maker, model = values.get("product.manufacturer", ""), values.get("product.model", "")
    chip = " ".join(values[key] for key in ("soc.manufacturer", "soc.model") if key in values)
    chip = chip or values.get("board.platform", "chip unknown")
    release = values.get("build.version.release", "of unknown version")
    return f"{maker} {model}".strip() + f", {chip}, Android {release}"


def _terms(phone: str, problems: Sequence[str], quoted: bool) -> dict[str, str]:
    papers = "rows of the papers, on their phones and with their files; not measured here"
    return {
        "phone": phone,
        "times": "ms per call as the programs print them; `-`: the program does not print it",
        "first": "LiteRT's first call of the warm-up",
        "images_s": "from the median, or from the mean where there is no median",
        "memory": "MB that LiteRT's program adds to its own start",
        "delegated": "what the GPU delegate took, by its log",
        "ncnn": "weights are zeros; float16 where the processor can, for any precision of the file",
        "not included": "cropping, normalization, decoding",
        "quoted": papers if quoted else "the papers print no phone times of these networks",
        "without result": "; ".join(problems) or "none",
    }
