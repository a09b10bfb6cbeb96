"""The models of the zoo as files: same numbers, same keys, few nodes, honest metadata."""

import functools
import re

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import export, models, ops, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.export.source import untrained
from jaxpose.models.sizes import parse_size
from tests.helpers.networks import images, initialized, run_jax, run_ncnn, run_onnx, run_torch
from tests.helpers.zoo import every

SIZE = (64, 64)
TOPDOWN = [name for name in jaxpose.list_models() if models.info(name).task == "topdown"]
OTHERS = [name for name in jaxpose.list_models() if name not in TOPDOWN]
LITE = {name for name in TOPDOWN if re.match("(wider_)?(naive_)?(lite|dite)_", name)}
SHUFFLED = {"simplebaseline_shufflenetv2"} | LITE
# Layers whose parameters checkpoints have and nothing runs.
UNUSED = re.compile(
    r"stage0_.*/dcm/conv_mask_1|stage1_.*/dcm/conv_mask_2|stage2_.*/dcm/conv_mask_3"
)
# These normalize sums of several kernels, before an activation: no single convolution can do it.
NORMALIZED = {"dite_hrnet_18", "dite_hrnet_30"}


@functools.cache
def network(name):
    """(model, variables, images, heatmaps of JAX), with heatmaps of a trained network's size."""
    model = jaxpose.create_model(name)
    variables = initialized(model, SIZE)
    x = images(SIZE, batch=3)
    heatmaps = np.asarray(run_jax(model, variables, x))
    kernel = variables["params"]
    path = [k for k in kernel if "final" in k] or [k for k in kernel["head"] if "final" in k]
    final = (kernel if path[0] in kernel else kernel["head"])[path[0]]
    factor = np.float32(1 / np.abs(heatmaps).max())
    scaled = jax.tree.map(lambda a: np.asarray(a) * factor, final)
    final.clear()
    final.update(scaled)
    return model, variables, x, np.asarray(run_jax(model, variables, x))


@functools.cache
def metadata(name):
    task = tasks.get("topdown")
    config = default_config(task.SETTINGS, task=task.NAME)
    return export.describe(name, task, config, skeletons.COCO, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("name", every(TOPDOWN))
def test_onnx_file(name, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model, variables, x, expected = network(name)
    path = tmp_path / "m.onnx"
    export.to_onnx(model, variables, SIZE, path, metadata=metadata(name))
    run = export.run_file(path)
    np.testing.assert_allclose(run(x), expected, atol=1e-4)
    np.testing.assert_allclose(run(x[:1]), expected[:1], atol=1e-4)  # the batch is open
    assert export.read_metadata(path) == metadata(name)

    proto = onnx.load(path)
    kinds = [node.op_type for node in proto.graph.node]
    assert not {"Identity", "Cast", "Shape", "Gather"} & set(kinds)
    assert ("BatchNormalization" in kinds) == (name in NORMALIZED)
    assert ("Transpose" in kinds) == (name in SHUFFLED)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, *SIZE]
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("image", "heatmaps")
    names = {initializer.name for initializer in proto.graph.initializer}
    assert any(name.startswith("backbone/") and name.endswith("/kernel") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("name", every(OTHERS))
def test_onnx_file_of_several_outputs(name, tmp_path):
    pytest.importorskip("onnxruntime")
    model = jaxpose.create_model(name)
    variables, x = initialized(model, SIZE), images(SIZE)
    with ops.implementation("lax"):  # compiles sooner; what is exported is the same
        expected = run_jax(model, variables, x)
    got = run_onnx(model, variables, x, tmp_path / "m.onnx")
    for actual, reference in zip(got, expected, strict=True):
        atol = 1e-4 * max(1, np.abs(reference).max())
        np.testing.assert_allclose(actual, reference, rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("name", every(TOPDOWN))
def test_ncnn_files(name, tmp_path):
    pytest.importorskip("ncnn")
    model, variables, x, expected = network(name)
    path = tmp_path / "m.param"
    np.testing.assert_allclose(run_ncnn(model, variables, x, path), expected, atol=1e-4)
    single = path.with_suffix(".bin").stat().st_size
    half = run_ncnn(model, variables, x, path, precision="fp16")
    np.testing.assert_allclose(half, expected, atol=5e-2)
    share = 0.52 if name in NORMALIZED else 0.51  # batch norms stay float32
    assert path.with_suffix(".bin").stat().st_size <= share * single


@pytest.mark.slow
@pytest.mark.parametrize("name", every(OTHERS))
def test_ncnn_files_of_several_outputs(name, tmp_path):
    pytest.importorskip("ncnn")
    model = jaxpose.create_model(name)
    variables, x = initialized(model, SIZE), images(SIZE)
    with ops.implementation("lax"):  # compiles sooner; what is exported is the same
        expected = run_jax(model, variables, x)
    got = run_ncnn(model, variables, x, tmp_path / "m.param")
    for actual, reference in zip(got, expected, strict=True):
        atol = 1e-4 * max(1, np.abs(reference).max())
        np.testing.assert_allclose(actual, reference, rtol=0, atol=atol)


@pytest.mark.slow
def test_hwl_is_a_short_list_of_nodes():
    model, variables, _, _ = network("hwl_mobilenetv3")
    assert len(export.build_graph(model, variables, SIZE).nodes) <= 165


@pytest.mark.slow
@pytest.mark.parametrize("fold_bn", [True, False])
@pytest.mark.parametrize("name", every(TOPDOWN))
def test_torch_module(name, fold_bn):
    pytest.importorskip("torch")
    model, variables, x, expected = network(name)
    np.testing.assert_allclose(run_torch(model, variables, x, fold_bn=fold_bn), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", every(TOPDOWN))
def test_torch_keys_follow_the_flax_paths(name):
    pytest.importorskip("torch")
    model, variables, _, _ = network(name)
    state = export.to_torch(model, variables, SIZE, fold_bn=False).state_dict()
    leaves = {
        "kernel": "weight",
        "transposed_kernel": "weight",
        "scale": "weight",
        "mean": "running_mean",
        "var": "running_var",
    }
    expected = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        *module, last = [key.key for key in path[1:]]
        if not UNUSED.search("/".join(module)):
            expected[".".join((*module, leaves.get(last, last)))] = leaf.size
    got = {k: v.numel() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert got == expected


@pytest.mark.slow
def test_torch_file_needs_torch_alone(tmp_path):
    torch = pytest.importorskip("torch")
    name = "hwl_mobilenetv3"
    model, variables, x, expected = network(name)
    path = tmp_path / "m.pt2"
    module = export.to_torch(model, variables, SIZE)
    export.save_torch(module, SIZE, path, metadata=metadata(name))
    run = export.run_file(path)
    np.testing.assert_allclose(run(x), expected, atol=1e-4)
    np.testing.assert_allclose(run(x[:1]), expected[:1], atol=1e-4)
    assert export.read_metadata(path) == metadata(name)
    assert "jaxpose." not in torch.export.load(path).graph_module.code


@pytest.mark.slow
def test_the_torch_module_trains():
    torch = pytest.importorskip("torch")
    model, variables, x, _ = network("hwl_mobilenetv3")
    module = export.to_torch(model, variables, SIZE, fold_bn=False).train()
    loss = module(torch.from_numpy(x.transpose(0, 3, 1, 2))).square().mean()
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())


def test_bfloat16_models_are_exported_in_float32(tmp_path):
    pytest.importorskip("onnxruntime")
    _, variables, x, expected = network("hwl_mobilenetv3")
    model = jaxpose.create_model("hwl_mobilenetv3", dtype="bfloat16")
    export.to_onnx(model, variables, SIZE, tmp_path / "m.onnx", metadata=metadata("x"))
    np.testing.assert_allclose(export.run_file(tmp_path / "m.onnx")(x), expected, atol=1e-4)


def test_sources():
    with pytest.raises(ValueError, match="hwl_mobilenetv3"):
        untrained("hwl_mobilnetv3")
    with pytest.raises(ValueError, match="32"):
        untrained("hwl_mobilenetv3", (60, 64))


@pytest.mark.parametrize("text", ["256", "x", "256x", "256x192x3", "0x64", "-64x64"])
def test_invalid_sizes(text):
    with pytest.raises(ValueError, match="HxW"):
        parse_size(text)


def test_sizes():
    assert parse_size("256x192") == (256, 192)
    assert parse_size("256X192") == (256, 192)
