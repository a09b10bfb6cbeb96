"""`make demo`: the whole way on generated people, by the same commands that a user types.

Each command is printed before it runs. A demo that was stopped goes on where it stood.
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
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/demo"))
    parser.add_argument("override", nargs="*", help="settings, e.g. --config.epochs=1")
    args, overrides = parser.parse_known_args()
    folder: pathlib.Path = args.folder
    began = time.perf_counter()

    recipe = ["--config=configs/demo.py", f"--config.data.root={folder / DATA}"]
    recipe += args.override + overrides
    run, untrained = folder / RUN, folder / "untrained"
    exported, pictures = folder / "exported", folder / "pictures"
    shown = folder / "shown"

    python = sys.executable
    step(python, "train.py", *recipe, f"--workdir={run}")
    step(python, "eval.py", *recipe, "--untrained", f"--report={untrained}", "--worst=0")
    step(python, "eval.py", f"--workdir={run}")
    choose_pictures(folder / DATA / "val.json", shown)
    step(
        *(python, "-m", "jaxpose", "predict", str(run), str(shown), "-o", str(pictures)),
        *("--boxes", str(folder / DATA / "val.json")),
    )
    write_overview(pictures, folder / "overview.jpg")
    step(python, "-m", "jaxpose", "export", str(run), "--to", "onnx", "-o", str(exported))
    files = sorted(exported.glob("*.onnx"))
    step(
        *(python, "eval.py", f"--workdir={run}", f"--exported={files[0]}"),
        *(f"--report={folder / 'report-onnx'}", "--worst=0"),
    )

    minutes = (time.perf_counter() - began) / 60
    scores = {name: score(path) for name, path in {
        "untrained": untrained, "trained": run / "report", "as ONNX": folder / "report-onnx"
    }.items()}  # fmt: skip
    print(f"\n{'=' * 78}\nHeld-out people, AP by pycocotools:")
    print(tables.text([(f"  {name}", f"{value:.3f}") for name, value in scores.items()]))
    print(f"{minutes:.1f} minutes. Look at:")
    print(f"  pictures   {folder / 'overview.jpg'}, one by one in {pictures}/")
    print(f"  report     {run / 'report' / 'index.html'}")
    print(f"  run folder {run}/   (metrics.jsonl, tensorboard/, checkpoints/)")
    print(f"  ONNX file  {files[0]}")
    print("Your own pictures:")
    print(f"  {shlex.join([python, '-m', 'jaxpose', 'predict', str(run), 'PHOTO.jpg'])}")
    print("Your own dataset: docs/custom_data.md")
    return 0


def step(*command: str) -> None:
    """Runs one command with its output shown; stops the demo when it fails."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def choose_pictures(annotations: pathlib.Path, folder: pathlib.Path, count: int = 12) -> None:
    """Links the first held-out pictures into a folder, for `jaxpose predict` to draw."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in json.loads(annotations.read_text())["images"][:count]:
        source = annotations.parent / "images" / image["file_name"]
        link = folder / source.name
        if not link.exists():
            link.symlink_to(source.resolve())


def write_overview(pictures: pathlib.Path, file: pathlib.Path) -> None:
    """Lays the drawn pictures out on one sheet."""
    import cv2

    from jaxpose import draw, images

    drawn = [images.decode(path.read_bytes()) for path in sorted(pictures.glob("*.jpg"))]
    cv2.imwrite(str(file), draw.contact_sheet(drawn, columns=4)[:, :, ::-1])


def score(report: pathlib.Path) -> float:
    """AP in a report folder of eval.py."""
    return json.loads((report / "metrics.json").read_text())["metrics"]["AP"]


if __name__ == "__main__":
    sys.exit(main())
