"""Bottom-up networks as files: both outputs, their metadata, and the people found in them."""

import dataclasses
import functools

import numpy as np
import pytest

import jaxpose
from jaxpose import export, ops, skeletons
from jaxpose.codecs import associative_embedding
from jaxpose.codecs.associative_embedding import Grouping
from jaxpose.export import command
from jaxpose.models import litepose, wlitepose
from jaxpose.tasks.agreement import tolerance_of
from jaxpose.tasks.whole_images import ImageDecoder, agreement, compare, scenes
from tests.helpers.networks import (
    Function,
    images,
    initialized,
    run_jax,
    run_onnx,
    run_torch,
    source_of,
    weight,
)

SIZE = (64, 96)


def source(model, name, size):
    settings = {"eval.detection_threshold": 0.2, "eval.tag_threshold": 0.7}
    return source_of(model, name, "associative_embedding", size, settings)


@functools.cache
def network(name):
    return source(jaxpose.create_model(name), name, (64, 64))


# --- the networks --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, target", [("litepose_xs", "onnx"), ("wlitepose_xs", "onnx"), ("wlitepose_xs", "torch")]
)
def test_a_network_becomes_a_file_that_finds_the_same_people(name, target, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "torch": "torch"}[target])
    original = network(name)
    with ops.implementation("lax"):  # compiles sooner; what is exported is the same
        path, result = command.export_file(original, target, tmp_path)
    assert result.holds and result.people > 0 and result.distances.keypoints > 0
    outputs = export.run_file(path)(np.zeros((1, 64, 64, 3), np.float32))  # the batch is open
    assert [x.shape for x in outputs] == [(1, 16, 16, 34), (1, 32, 32, 17)]
    metadata = export.read_metadata(path)
    assert metadata == original.metadata() and metadata["task"] == "associative_embedding"
    grouping = Grouping(**metadata["grouping"])
    assert grouping == original.decoder.grouping
    assert (grouping.detection_threshold, grouping.tag_threshold) == (0.2, 0.7)
    assert [output["stride"] for output in metadata["outputs"]] == [4, 2]
    if target == "onnx":
        import onnx

        graph = onnx.load(path).graph
        assert [output.name for output in graph.output] == ["heatmaps_tags", "heatmaps"]
        kinds = {node.op_type for node in graph.node}
        # WLitePose normalizes what attention has weighed: the next convolution takes that over.
        assert not {"Identity", "Cast", "Shape", "Gather", "BatchNormalization"} & kinds


def layer(kind):
    """A DFC-bottleneck with one of the attentions, at stride 2 and 1, then the light residual."""
    from functools import partial

    policy = litepose.policy(np.float32, None)
    conv, norm = policy["conv"], policy["norm"]
    reading = wlitepose.PRESETS["C" if kind == "dfc" else "literal"]

    def body(m, x):
        block = partial(
            wlitepose.DFCBottleneck,
            attention=kind,
            reading=reading,
            act="gelu",
            activations=1,
            norms=1,
            conv=conv,
            norm=norm,
        )
        x = ops.conv(x, weight(m, "lift", (1, 1, 3, 16)))
        x = block(16, 2, name="down")(x, False)
        x = block(16, 1, name="same")(x, False)
        light = wlitepose.LightResidual(2, conv, norm, name="light")(x, False)
        return litepose.FusionDeconv(4, policy["deconv"], norm, name="up")(light, x, False)

    return Function(body)


@pytest.mark.slow
@pytest.mark.parametrize("kind", wlitepose.ATTENTION)
def test_the_block_with_every_attention(kind, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    model = layer(kind)
    variables, x = initialized(model, (16, 24)), images((16, 24))
    with ops.implementation("lax"):
        expected = run_jax(model, variables, x)
    onnx = run_onnx(model, variables, x, tmp_path / "m.onnx")
    np.testing.assert_allclose(onnx, expected, rtol=1e-4, atol=1e-5)
    torch = run_torch(model, variables, x, fold_bn=False)
    np.testing.assert_allclose(torch, expected, rtol=1e-4, atol=1e-5)


def small(m, x):
    """Four layers, two outputs of 34 and 17 channels."""
    x = ops.activation(ops.conv(x, weight(m, "half", (2, 2, 3, 8)), stride=2), kind="relu")
    low = ops.conv(x, weight(m, "quarter", (2, 2, 8, 8)), stride=2)
    low = ops.conv(ops.activation(low, kind="relu"), weight(m, "low", (1, 1, 8, 34)))
    return low, ops.conv(x, weight(m, "high", (1, 1, 8, 17)))


@pytest.mark.slow
@pytest.mark.parametrize("wrong, message", [("low", "outputs differ by"), ("nan", "not finite")])
def test_a_disagreeing_file_leaves_nothing(wrong, message, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    original = source(Function(small), "small", SIZE)
    factor = {"low": 1.001, "nan": np.nan}[wrong]
    params = dict(original.variables["params"])
    params["low"] = params["low"] * np.float32(factor)
    to_onnx = export.to_onnx
    monkeypatch.setattr(
        export,
        "to_onnx",
        lambda model, _, *rest, **kw: to_onnx(model, {"params": params}, *rest, **kw),
    )
    with pytest.raises(export.MismatchError, match=message):
        command.export_file(original, "onnx", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_named_as_the_metadata_say(tmp_path):
    pytest.importorskip("onnx")
    original = source(Function(lambda m, x: small(m, x)[1]), "small", SIZE)
    with pytest.raises(
        export.ExportError, match="1 output, but the metadata name 2: heatmaps_tags"
    ):
        export.to_onnx(
            original.model,
            original.variables,
            SIZE,
            tmp_path / "m.onnx",
            metadata=original.metadata(),
        )


def test_whole_images_are_used(tmp_path):
    cv2 = pytest.importorskip("cv2")
    file = tmp_path / "p.png"
    cv2.imwrite(str(file), np.full((50, 50, 3), 90, np.uint8))
    original = source(Function(small), "small", SIZE)
    image = command._verification_images([file], original)[0]
    assert image.shape == (*SIZE, 3)
    assert (image[2:-2, 18:-18] == 90).all() and (image[:, :14] == 0).all()  # 64x64 in the middle


# --- people --------------------------------------------------------------------------------------


def drawn(people=3):
    """Outputs [2, ...] of a network for two scenes of so many people."""
    views = [scenes.draw(people, SIZE, missing=0.2, flip=False, seed=n).outputs for n in (0, 1)]
    return [np.concatenate(maps) for maps in zip(*views, strict=True)]


def changed(outputs, change):
    copies = [x.copy() for x in outputs]
    change(*copies)
    return copies


def compared(expected, actual, grouping=None):
    decoder = ImageDecoder(associative_embedding, grouping or Grouping())
    return compare(expected, actual, SIZE, decoder, skeletons.COCO)


def test_equal_maps_agree():
    outputs = drawn()
    result = compared(outputs, outputs)
    assert result.holds and (result.people, result.distances.keypoints) == (6, 6 * 17)
    assert result.distances.largest == 0 and result.ties == 0


def test_a_moved_keypoint_is_detected():
    def move(low, high):
        for channel in (5, 17 + 5):
            low[0, :, 1:, channel] = low[0, :, :-1, channel].copy()
        high[0, :, 2:, 5] = high[0, :, :-2, 5].copy()

    outputs = drawn()
    result = compared(outputs, changed(outputs, move))
    assert not result.holds and result.distances.largest == pytest.approx(4, abs=1.2)
    assert result.extra == 0


def test_an_additional_person_is_detected():
    def add(low, high):
        low[1, 2:4, 2:4, 0] = high[1, 4:8, 4:8, 0] = 0.9
        low[1, 2:4, 2:4, 17] = 50  # the tag of nobody else

    outputs = drawn(2)
    result = compared(outputs, changed(outputs, add))
    assert result.extra == 1 and not result.holds
    assert "only one of the two finds 1 of the people" in str(result)


def test_what_rounding_decides_is_a_tie():
    outputs = [x[:1] for x in drawn(1)]
    options = Grouping(detection_threshold=0.05, refine=False)
    joint = int(np.argmax(outputs[1].max((0, 1, 2))))
    how = (SIZE, ImageDecoder(associative_embedding, options), skeletons.COCO)
    peak = float(agreement._peaks(outputs, how)[1][..., joint].max())

    def scaled(height):
        """The joint's peak is so high."""

        def scale(low, high):
            low[..., joint] *= height / peak
            high[..., joint] *= height / peak

        return changed(outputs, scale)

    edge = scaled(0.05 + 1e-7)  # it counts from 0.05 on
    result = compared(edge, scaled(0.05 - 1e-7), options)
    assert result.holds and result.ties == 1 and "1 left out as ties" in str(result)
    clear = scaled(0.06)
    result = compared(clear, scaled(0.04), options)
    assert not result.holds and result.distances.largest == np.inf and result.ties == 0


@pytest.mark.slow
def test_untrained_networks_have_people_to_compare():
    outputs = [x * np.float32(1e-3) for x in drawn()]  # all far below the threshold
    assert compared(outputs, outputs).people >= 6
    high = dataclasses.replace(Grouping(), detection_threshold=0.0)
    assert compared([-abs(x) for x in outputs], outputs, high).people == 0


@pytest.mark.parametrize("precision", ["fp16", "int8-dynamic", "int8-static"])
def test_reduced_precision_is_judged_by_shares(precision):
    outputs = drawn()
    levels = 2000 if precision == "fp16" else 200
    rounded = [np.round(x * levels).astype(np.float32) / levels for x in outputs]
    decoder = ImageDecoder(associative_embedding, Grouping())

    def judged(actual):
        tolerance = tolerance_of(precision)
        return compare(outputs, actual, SIZE, decoder, skeletons.COCO, tolerance)

    sound = judged(rounded)
    assert sound.holds and sound.people == 6 and not compared(outputs, rounded).holds
    collapsed = judged([x * 0 for x in outputs])
    assert not collapsed.holds and collapsed.extra == 6 and collapsed.distances.moved == 1
    shifted = judged([np.roll(x, 2, axis=2) for x in outputs])
    assert not shifted.holds and shifted.distances.median > 2
