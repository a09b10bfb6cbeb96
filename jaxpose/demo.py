"""`make demo`: trains, evaluates, predicts and exports on generated people.

It runs the commands that a user would type and prints each of them first. An interrupted demo
resumes where it stopped.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import time

from jaxpose import tables

DATA, RUN = "data", "run"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder",
        type=pathlib.Path,
        default=pathlib.Path("runs/demo"),
        help="output folder (default: runs/demo)",
    )
    parser.add_argument("override", nargs="*", help="settings to change, e.g. --config.epochs=1")
    args, overrides = parser.parse_known_args()
    folder: pathlib.Path = args.folder
    start = time.perf_counter()

    recipe = ["--config=configs/demo.py", f"--config.data.root={folder / DATA}"]
    recipe += args.override + overrides
    run, untrained = folder / RUN, folder / "untrained"
    exported, drawn = folder / "exported", folder / "drawn"
    samples = folder / "samples"

    python = sys.executable
    step(python, "train.py", *recipe, f"--workdir={run}")
    step(python, "eval.py", *recipe, "--untrained", f"--report={untrained}", "--worst=0")
    step(python, "eval.py", f"--workdir={run}")
    link_samples(folder / DATA / "val.json", samples)
    step(
        *(python, "-m", "jaxpose", "predict", str(run), str(samples), "-o", str(drawn)),
        *("--boxes", str(folder / DATA / "val.json")),
    )
    write_overview(drawn, folder / "overview.jpg")
    step(python, "-m", "jaxpose", "export", str(run), "--to", "onnx", "-o", str(exported))
    files = sorted(exported.glob("*.onnx"))
    step(
        *(python, "eval.py", f"--workdir={run}", f"--exported={files[0]}"),
        *(f"--report={folder / 'report-onnx'}", "--worst=0"),
    )

    minutes = (time.perf_counter() - start) / 60
    scores = {name: score(path) for name, path in {
        "untrained": untrained, "trained": run / "report", "as ONNX": folder / "report-onnx"
    }.items()}  # fmt: skip
    print(f"\n{'=' * 78}\nAP on the validation people:")
    print(tables.text([(f"  {name}", f"{value:.3f}") for name, value in scores.items()]))
    print(f"This took {minutes:.1f} minutes. Results:")
    print(f"  drawings   {folder / 'overview.jpg'}, and single images in {drawn}/")
    print(f"  report     {run / 'report' / 'index.html'}")
    print(f"  run folder {run}/   (metrics.jsonl, tensorboard/, checkpoints/)")
    print(f"  ONNX file  {files[0]}")
    print("Predict poses in your own images:")
    print(f"  {shlex.join([python, '-m', 'jaxpose', 'predict', str(run), 'PHOTO.jpg'])}")
    print("Train on your own dataset: docs/custom_data.md")
    return 0


def step(*command: str) -> None:
    """Prints and runs one command; exits if it fails."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def link_samples(annotations: pathlib.Path, folder: pathlib.Path, count: int = 12) -> None:
    """Links the first validation images into a folder, as input of `jaxpose predict`."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in json.loads(annotations.read_text())["images"][:count]:
        source = annotations.parent / "images" / image["file_name"]
        link = folder / source.name
        if not link.exists():
            link.symlink_to(source.resolve())


def write_overview(folder: pathlib.Path, file: pathlib.Path) -> None:
    """Draws all images of a folder on one sheet."""
    import cv2

    from jaxpose import draw, images

    drawings = [images.decode(path.read_bytes()) for path in sorted(folder.glob("*.jpg"))]
    cv2.imwrite(str(file), draw.contact_sheet(drawings, columns=4)[:, :, ::-1])


def score(report: pathlib.Path) -> float:
    """AP from a report folder of eval.py."""
    return json.loads((report / "metrics.json").read_text())["metrics"]["AP"]


if __name__ == "__main__":
    sys.exit(main())
