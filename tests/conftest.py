"""Test-wide settings: CPU, a compilation cache shared by the tests, and the real-data folder."""

import gc
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator

import numpy as np
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Subprocess tests compile the same small networks again and again; they share one cache on disk.
CACHE = pathlib.Path(tempfile.gettempdir()) / f"jaxpose-test-xla-{os.getuid()}"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
# Nearly all of the time is compilation. Without LLVM's optimisation it is half as long.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Commands that run inside the test process keep freed memory (jaxpose.memory) unless a variable of
# this kind is set, and after hundreds of them the process would hold several gigabytes.
os.environ.setdefault("MALLOC_ARENA_MAX", "4")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # damaged images are what some tests are about
SEED = int(os.environ.get("JAXPOSE_TEST_SEED", "0"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--zoo", action="store_true", help="also the large models (see tests/helpers/zoo.py)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--zoo"):
        return
    large = [item for item in items if item.get_closest_marker("zoo")]
    config.hook.pytest_deselected(items=large)
    items[:] = [item for item in items if item not in set(large)]


def pytest_report_header() -> str:
    return f"random seed of the tests: {SEED} (JAXPOSE_TEST_SEED)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and "rng" in getattr(item, "fixturenames", ()):
        report.sections.append(("Random seed", f"JAXPOSE_TEST_SEED={SEED}"))
    return report


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers of the seed in the head of the output of pytest, for each test the same."""
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """The checkout's root folder."""
    return pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Folder of small saved facts: key lists, sample tensors, published values."""
    return pathlib.Path(__file__).resolve().parent / "golden"


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder of annotated photographs named by JAXPOSE_REAL_DATA; skips when there is none."""
    folder = os.environ.get("JAXPOSE_REAL_DATA")
    if not folder:
        pytest.skip("JAXPOSE_REAL_DATA is not set")
    return pathlib.Path(folder)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Drops JAX's compiled programs whenever the process has grown by half a gigabyte.

    JAX keeps them with what they hold, about 400 MB for a large network.
    """
    yield
    if "jax" in sys.modules and _resident() > _after_clearing[-1] + GROWTH:
        sys.modules["jax"].clear_caches()
        gc.collect()
        _after_clearing[-1] = _resident()


GROWTH = 512 * 2**20
_after_clearing = [GROWTH]


def _resident() -> int:
    """Resident memory of this process in bytes; 0 where /proc is missing."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """`models.register`; what it registers is forgotten after the test."""
    from jaxpose.models import lookup

    monkeypatch.setattr(lookup, "MODELS", dict(lookup.MODELS))
    return lookup.register


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[Callable[[int], pathlib.Path]]:
    """Makes a folder on a disk of so many KB; skips where it cannot be mounted."""
    folder = tmp_path / "disk"

    def mount(kilobytes: int) -> pathlib.Path:
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def memory_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty object store in memory."""
    import fsspec

    from jaxpose import remote

    monkeypatch.setitem(remote.SCHEMES, "memory", ("fsspec", "s3"))
    store = fsspec.filesystem("memory")
    yield "memory://bucket"
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def s3_store() -> Iterator[str]:
    """URL of an empty bucket on a local server that speaks S3, also for other processes."""
    for package in ("moto.server", "s3fs"):
        pytest.importorskip(package)
    from tests.helpers import stores

    with stores.s3_server() as variables, stores.environment(variables):
        yield f"s3://{stores.BUCKET}"
