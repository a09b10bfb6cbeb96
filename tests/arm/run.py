"""Runs exported files on the aarch64 wheels of their runtimes, emulated by QEMU: `make test-arm`.

HWL with random weights is exported to ONNX, LiteRT and ncnn. `jaxpose.runtimes` runs the files here
and in an aarch64 Python, on the same images, and the outputs are compared. That proves that the
files give the same results on Arm; emulated times mean nothing.

The aarch64 Python is that of Debian's packages, and the wheels come from PyPI; both are kept in a
folder (75 and about 250 MB). QEMU 10 or newer is needed: 7.2 crashes on instructions of the wheels.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

SIZE = (64, 64)
TARGETS = ("onnx", "litert", "ncnn")
TOLERANCE = 1e-4  # of the largest value
QEMU = 10  # oldest major version
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian bookworm main\n"
PYTHON = "3.11"  # that of Debian bookworm
PACKAGES = ("libpython3.11-stdlib", "python3.11-minimal", "libc6", "libgomp1", "libstdc++6")
WHEELS = ("numpy", "ml_collections", "onnxruntime", "ai-edge-litert", "ncnn")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux2014")


class MissingError(Exception):
    """Something that the host needs is not installed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--emulated", metavar="DIR", help="run the files in DIR; used by itself")
    parser.add_argument(
        "--folder", type=pathlib.Path, default=".arm", help="of the aarch64 Python (default: .arm)"
    )
    args = parser.parse_args()
    if args.emulated:
        run_files(pathlib.Path(args.emulated), "arm")
        return 0
    try:
        qemu = find_qemu()
        python = python_root(args.folder.resolve())
        site = install_wheels(args.folder.resolve())
    except MissingError as error:
        print(f"test-arm: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        export_files(folder)
        run_files(folder, "host")
        command = [qemu, "-L", python, python / f"usr/bin/python{PYTHON}", "-S", __file__]
        paths = {"PYTHONPATH": f"{site}{os.pathsep}{REPOSITORY}", "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([*command, "--emulated", folder], check=True, env=os.environ | paths)
        return compare(folder)


def find_qemu() -> str:
    """Path of `qemu-aarch64`, from the variable QEMU_AARCH64 or PATH; checks its version."""
    given = os.environ.get("QEMU_AARCH64")
    names = [given] if given else ["qemu-aarch64", "qemu-aarch64-static"]
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise MissingError(f"{names[0]} is missing; install qemu-user {QEMU} or newer")
    text = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.\S+", text)
    if version is None or int(version[1]) < QEMU:
        found = version[0] if version else "of unknown version"
        raise MissingError(f"{path} is {found}, but qemu-user {QEMU} or newer is needed")
    return path


def python_root(folder: pathlib.Path) -> pathlib.Path:
    """Folder of an aarch64 Python, downloaded and unpacked the first time; nothing is installed."""
    root = folder / "root"
    if (folder / "root.done").exists():
        return root
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise MissingError(f"{tool} is missing: the aarch64 Python is that of Debian packages")
    if not KEYRING.exists():
        raise MissingError(f"{KEYRING} is missing; install debian-archive-keyring")
    state, cache = folder / "apt" / "state", folder / "apt" / "cache"
    for path in (state / "lists" / "partial", cache / "archives" / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    sources = folder / "apt" / "sources.list"
    sources.write_text(DEBIAN)
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": cache,
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    subprocess.run([*apt, "update"], check=True)
    download = ["install", "--yes", "--no-install-recommends", "--download-only"]
    subprocess.run([*apt, *download, *PACKAGES], check=True, stdout=subprocess.DEVNULL)
    for package in (cache / "archives").glob("*.deb"):
        subprocess.run(["dpkg", "--extract", package, root], check=True)
    shutil.rmtree(folder / "apt")
    (folder / "root.done").touch()
    return root


def install_wheels(folder: pathlib.Path) -> pathlib.Path:
    """Folder of aarch64 wheels, of the versions that are installed here."""
    wanted = []
    for name in WHEELS:
        try:
            wanted.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            raise MissingError(f"{name} is missing: pip install {name}") from None
    site, done = folder / "site", folder / "site.done"
    if done.exists() and done.read_text().split() == wanted:
        return site
    shutil.rmtree(site, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", site]
    pip += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    pip += [f"--platform={platform}_aarch64" for platform in PLATFORMS]
    subprocess.run([*pip, *wanted], check=True)
    done.write_text("\n".join(wanted))
    return site


def export_files(folder: pathlib.Path) -> None:
    """Writes one file per target, and the images to run them on."""
    import jaxpose
    from jaxpose.export import command
    from tests.helpers.networks import images, source_of

    name = "hwl_mobilenetv3"
    source = source_of(jaxpose.create_model(name), name, "topdown", SIZE)
    for target in TARGETS:
        command.export_file(source, target, folder)
    np.save(folder / "images.npy", images(SIZE))


def run_files(folder: pathlib.Path, machine: str) -> None:
    """Runs the files with their runtimes and writes the outputs; JAX is not imported."""
    from jaxpose.runtimes import SUFFIXES, run_file

    images = np.load(folder / "images.npy")
    for target in TARGETS:
        (file,) = folder.glob(f"*{SUFFIXES[target]}")
        np.save(folder / f"{target}_{machine}.npy", run_file(file, threads=1)(images))


def compare(folder: pathlib.Path) -> int:
    """Prints the differences between the machines; 1 if one is beyond the tolerance."""
    failed = 0
    for target in TARGETS:
        host, arm = (np.load(folder / f"{target}_{machine}.npy") for machine in ("host", "arm"))
        error = float(np.abs(arm - host).max() / np.abs(host).max())
        holds = error <= TOLERANCE  # not of NaN
        failed += not holds
        print(f"{target:8}{error:.1e} of the largest value: {'ok' if holds else 'FAILED'}")
    print(f"{len(TARGETS) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
