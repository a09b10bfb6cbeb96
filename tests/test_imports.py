"""Who may import whom, checked on the syntax trees of every source file."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = {"jaxpose", "configs", "input_pipeline", "train", "eval", "tests"}

# From bottom to top; a part imports from its own row and the rows below it, at module level or
# inside functions.
ROWS = (
    "choices files geometry images interpolation interrupts jax_api memory mesh ops poses "
    "public_skeletons remote sides skeletons tables tensor_file wording",
    "annotations config draw hosts layers",
    "codecs",
    "losses metrics models runtimes",
    "tasks",
    "runs",
    "training",
    "convert evaluation export summary weights",
    "benchmark cli datacheck demo plan predict soak __main__",
)
ROW_OF = {part: number for number, row in enumerate(ROWS) for part in row.split()}
TOP = len(ROWS) - 1  # of every command.py, which the command line calls
OPTIONAL = {
    *("torch", "onnx", "onnxruntime", "tensorboard", "litert", "ncnn", "matplotlib"),
    *("ai_edge_litert", "ai_edge_quantizer", "coremltools", "flatbuffers"),
}
# `jaxpose export --eval` reads validation data, in a checkout. No other file of jaxpose does.
READS_DATA = "jaxpose/export/scores.py"
# Parts of JAX that a release may change at will: only jaxpose/jax_api.py takes from them.
CHANGING = re.compile(r"jaxlib\b|jax\.(_src|core|experimental|extend|interpreters|lib|api_util)\b")


def source_files(*folders: str) -> list[pathlib.Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


@functools.cache
def nodes_of(path: pathlib.Path) -> tuple[ast.AST, ...]:
    """The syntax tree of a file, flat; the first node is the module."""
    return tuple(ast.walk(ast.parse(path.read_text(), str(path))))


def imports(path: pathlib.Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports (`from a import b` counts as `a.b`)."""
    nodes = nodes_of(path)
    if top_level_only:
        assert isinstance(nodes[0], ast.Module)
        nodes = nodes[0].body
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def relative(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def part_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT / "jaxpose").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", source_files("configs"), ids=relative)
def test_configs_import_settings_and_networks_alone(path):
    for name in imports(path):
        head, *rest = name.split(".")
        known = {"collections", "ml_collections", "configs"}
        # A recipe for any network asks the network for its task.
        assert head in known or (head == "jaxpose" and rest[0] in ("config", "models"))


@pytest.mark.parametrize("path", source_files("input_pipeline"), ids=relative)
def test_input_pipeline_sees_only_what_it_may_of_jaxpose(path):
    allowed = {
        "choices",
        "tables",
        "config",
        "skeletons",
        "geometry",
        "annotations",
        "files",
        "images",
        "memory",
        "tasks",
        "wording",
    }
    for name in imports(path):
        head, *rest = name.split(".")
        assert head != "configs", f"{relative(path)} imports {name}"
        if head == "jaxpose":
            assert rest and rest[0] in allowed, f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", source_files("jaxpose"), ids=relative)
def test_jaxpose_layers(path):
    part = part_of(path)
    if path == ROOT / "jaxpose" / "__init__.py":
        return  # it names submodules, and imports each when it is first used
    assert part in ROW_OF, f"{relative(path)}: give it a row in this test"
    row = TOP if path.name == "command.py" else ROW_OF[part]
    for name in imports(path):
        head, *rest = name.split(".")
        if head == "input_pipeline" and relative(path) == READS_DATA:
            assert name not in imports(path, top_level_only=True)
            continue
        assert head not in {"tensorflow", "tensorflow_datasets", "configs", "input_pipeline"}, name
        assert head not in {"train", "eval"}, name
        if head == "jaxpose" and rest and rest[0] not in (part, "__version__"):
            assert ROW_OF[rest[0]] <= row, f"{relative(path)} imports {name}, from a row above it"


@pytest.mark.parametrize("path", source_files("jaxpose", "input_pipeline"), ids=relative)
def test_optional_packages_are_imported_where_they_are_used(path):
    heads = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    assert not heads & OPTIONAL, f"{relative(path)} imports {heads & OPTIONAL} at import time"


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [ROOT / "train.py", ROOT / "eval.py", *source_files("jaxpose", "input_pipeline", "tests")],
    ids=relative,
)
def test_one_file_takes_what_jax_may_change(path):
    if relative(path) == "jaxpose/jax_api.py":
        return
    names = imports(path) | {ast.unparse(n) for n in nodes_of(path) if isinstance(n, ast.Attribute)}
    found = sorted(filter(CHANGING.match, names))
    assert not found, f"{relative(path)}: {', '.join(found)} belongs in jaxpose/jax_api.py"


@pytest.mark.slow
def test_training_does_not_import_what_it_does_not_need(tmp_path):
    # TensorFlow and tensorboardX import some of them where they are installed, in seconds.
    script = """
import pathlib, sys
import train
from input_pipeline import graph
from jaxpose.training.log_files import Events

graph.tensorflow()
Events(pathlib.Path(sys.argv[1]), step=0).close()
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""
    names = ("torch", "boto3", "keras", "matplotlib", "scipy.optimize")
    words = [sys.executable, "-c", script, str(tmp_path / "events"), *names]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


TASK_NAMES = {"topdown", "associative_embedding", "part_affinity"}


@pytest.mark.parametrize(
    "path",
    [ROOT / "train.py", ROOT / "eval.py", *source_files("jaxpose", "input_pipeline")],
    ids=relative,
)
def test_only_tasks_know_their_names(path):
    # The benchmark of grouping by tags is about one task.
    if path.is_relative_to(ROOT / "jaxpose/tasks") or path.match("benchmark/grouping.py"):
        return
    for node in nodes_of(path):
        if isinstance(node, ast.Compare):
            values = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            assert not values & TASK_NAMES, f"{relative(path)}:{node.lineno} asks for a task's name"


def test_nothing_imports_the_programs():
    for path in source_files("jaxpose", "input_pipeline", "configs"):
        assert not {name.split(".")[0] for name in imports(path)} & {"train", "eval"}, path
