"""Who may import whom, checked on the syntax trees of every source file."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = {"jaxpose", "configs", "input_pipeline", "train", "eval", "tests"}

EVERYWHERE = {"__version__", "choices"}  # what every part of jaxpose may import
# Part of jaxpose -> the parts of jaxpose that it may import at module level or inside functions.
LAYERS = {
    "choices": set(),
    "skeletons": set(),
    "geometry": set(),
    "images": set(),
    "settings": set(),
    "memory": set(),
    "jax_api": set(),
    "ops": set(),
    "annotations": {"skeletons", "geometry", "images"},
    "datacheck": {"annotations", "skeletons", "geometry", "images", "draw"},
    "draw": {"skeletons", "geometry"},
    "codecs": {"skeletons", "geometry", "annotations"},
    "losses": {"codecs", "skeletons", "geometry"},
    "metrics": {"codecs", "skeletons", "geometry"},
    "layers": {"ops"},
    "models": {"layers", "ops", "jax_api"},
    "summary": {"models", "ops", "jax_api"},
    "training": {
        "models",
        "codecs",
        "losses",
        "skeletons",
        "geometry",
        "ops",
        "memory",
        "settings",
        "jax_api",
    },
    "convert": {"models", "ops", "codecs", "skeletons", "geometry", "training"},
    "export": {"models", "ops", "codecs", "skeletons", "geometry", "training", "images", "jax_api"},
}
TOP = {"cli", "predict", "evaluation", "benchmark", "demo", "__init__", "__main__"}
OPTIONAL = {"torch", "onnx", "onnxruntime", "tensorboard", "litert", "ncnn"}
# Parts of JAX that a release may change at will: only jaxpose/jax_api.py takes from them.
CHANGING = re.compile(r"jaxlib\b|jax\.(_src|core|experimental|extend|interpreters|lib|api_util)\b")


def source_files(*folders: str) -> list[pathlib.Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def imports(path: pathlib.Path, top_level_only: bool = False) -> set[str]:
    """Dotted names that a file imports (`from a import b` counts as `a.b`)."""
    tree = ast.parse(path.read_text(), str(path))
    nodes = tree.body if top_level_only else ast.walk(tree)
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
def test_configs_import_ml_collections_alone(path):
    allowed = {"ml_collections", "configs"}
    assert {name.split(".")[0] for name in imports(path)} <= allowed


@pytest.mark.parametrize("path", source_files("input_pipeline"), ids=relative)
def test_input_pipeline_sees_only_what_it_may_of_jaxpose(path):
    allowed = {"choices", "settings", "skeletons", "geometry", "annotations", "images"}
    for name in imports(path):
        head, *rest = name.split(".")
        assert head != "configs", f"{relative(path)} imports {name}"
        if head == "jaxpose":
            assert rest and rest[0] in allowed, f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", source_files("jaxpose"), ids=relative)
def test_jaxpose_layers(path):
    part = part_of(path)
    assert part in LAYERS or part in TOP, f"{relative(path)}: say in this test what it may import"
    for name in imports(path):
        head, *rest = name.split(".")
        assert head not in {"tensorflow", "tensorflow_datasets", "configs", "input_pipeline"}, name
        assert head not in {"train", "eval"}, name
        if head == "jaxpose" and part in LAYERS and rest and rest[0] != part:
            assert rest[0] in LAYERS[part] | EVERYWHERE, f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", source_files("jaxpose", "input_pipeline"), ids=relative)
def test_optional_packages_are_imported_where_they_are_used(path):
    heads = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    assert not heads & OPTIONAL, f"{relative(path)} imports {heads & OPTIONAL} at import time"


@pytest.mark.parametrize(
    "path",
    [ROOT / "train.py", ROOT / "eval.py", *source_files("jaxpose", "input_pipeline", "tests")],
    ids=relative,
)
def test_one_file_takes_what_jax_may_change(path):
    if relative(path) == "jaxpose/jax_api.py":
        return
    nodes = ast.walk(ast.parse(path.read_text(), str(path)))
    names = imports(path) | {ast.unparse(n) for n in nodes if isinstance(n, ast.Attribute)}
    found = sorted(filter(CHANGING.match, names))
    assert not found, f"{relative(path)}: {', '.join(found)} belongs in jaxpose/jax_api.py"


def test_nothing_imports_the_programs():
    for path in source_files("jaxpose", "input_pipeline", "configs"):
        assert not {name.split(".")[0] for name in imports(path)} & {"train", "eval"}, path
