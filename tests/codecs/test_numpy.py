"""The codecs on numpy arrays, against the same functions compiled by jax, and without jax."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxpose.codecs import arrays, associative_embedding, part_affinity, resizing, topdown
from jaxpose.codecs.arrays import image_of
from jaxpose.skeletons import COCO, CROWDPOSE
from jaxpose.tasks.whole_images import scenes
from tests.codecs.test_part_affinity import person

WITHOUT_JAX = """
import sys

sys.modules["jax"] = None  # an import of jax is an ImportError

import numpy as np

from jaxpose import geometry, images, skeletons
from jaxpose.codecs import associative_embedding, part_affinity, resizing, simcc, topdown
from jaxpose.codecs.arrays import image_of

pairs, box = skeletons.COCO.flip_pairs, (np.ones((2, 2)), np.ones((2, 2)))
maps = np.random.default_rng(0).random((2, 16, 12, 17)).astype(np.float32)
for decoder in ("quarter", "dark"):
    flipped = topdown.flip_back(maps, pairs)
    keypoints, scores = topdown.decoder(decoder, 2.0)(maps + flipped, *box)
    assert keypoints.shape == (2, 17, 2)
assert topdown.decode(maps, *box, udp=True)[0].shape == (2, 17, 2)
vectors = maps[:, 0].swapaxes(1, 2), maps[:, :, 0].swapaxes(1, 2)
assert simcc.decode(*simcc.flip_back(*vectors, pairs), *box)[0].shape == (2, 17, 2)
assert simcc.heatmaps(*vectors, 4).shape == (2, 4, 3, 17)
outputs = np.zeros((1, 8, 8, 34), np.float32), np.zeros((1, 16, 16, 17), np.float32)
outputs[0][0, 2, 3, :17] = 1
people = associative_embedding.find(
    {1.0: (outputs, outputs)}, (32, 32), associative_embedding.Grouping(), skeletons.COCO
)
keypoints, _ = associative_embedding.group(
    *image_of(people, 0), associative_embedding.Grouping()
)
assert keypoints.shape[1:] == (17, 3)
associative_embedding.decode(people[1][0], people[2][0])
outputs = np.zeros((1, 8, 8, 19), np.float32), np.zeros((1, 8, 8, 38), np.float32)
people = part_affinity.find({1.0: (outputs, outputs)}, (64, 64), part_affinity.Grouping())
keypoints, _ = part_affinity.group(*image_of(people, 0))
assert keypoints.shape == (0, 17, 3)
resizing.resize_cubic(outputs[0], (64, 64))
imported = [name for name in sys.modules if name.split(".")[0] in ("jax", "jaxlib", "flax")]
assert imported == ["jax"], imported
"""


def test_decoding_needs_no_jax(repository):
    subprocess.run(
        [sys.executable, "-c", WITHOUT_JAX],
        check=True,
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
    )


def _same(expected, actual, atol=0.0):
    """Compares nested tuples: of jax arrays, and of numpy arrays of the same type."""

    def check(theirs, ours):
        assert isinstance(theirs, jax.Array) and isinstance(ours, np.ndarray)
        assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)

    jax.tree.map(check, expected, actual)


def test_the_kind_of_the_arrays_selects_the_library():
    assert arrays.namespace(np.zeros(2), [1.0], None) is np
    assert arrays.namespace(np.zeros(2), jnp.zeros(2)) is jnp
    namespaces = []
    jax.eval_shape(lambda x: namespaces.append(arrays.namespace(x)), np.zeros(2))
    assert namespaces == [jnp]


def test_top_k_breaks_ties_as_lax_does():
    random = np.random.default_rng(0)
    top_k = jax.jit(arrays.top_k, static_argnums=1)
    special = np.float32([0, -0.0, 1, -0.0, 0, -1, np.inf, -np.inf, 1, 1e-30])
    for values in (
        random.standard_normal((2, 3, 50)),
        random.integers(-2, 3, (4, 60)) / 2,
        -np.zeros((2, 40)),
        np.array([random.permutation(special) for _ in range(20)]),
    ):
        values = values.astype(np.float32)
        for number in (1, 7, values.shape[-1]):
            _same(tuple(top_k(values, number)), arrays.top_k(values, number))


@pytest.mark.parametrize("shape", [(2, 9, 16, 3), (1, 5, 7, 150)])  # OpenCV takes 128 channels
def test_operations_agree(shape):
    maps = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    tall = maps[:, :4, :, :, None] * np.float32([1, -1])
    strips = maps[:, :4].reshape(2, 2, -1, shape[-1])[:, :, :4]
    index = np.array([0, 8, 30]), np.array([4, 40, 2])

    def operations(maps, tall, strips):
        return (
            arrays.max_pool(maps, 5),
            arrays.halve(tall, largest=True),
            arrays.halve(maps, largest=False),
            arrays.strip_max(strips),
            arrays.gather(maps[0, ..., 0], index),
            arrays.pad(maps, [(0, 0)] * 4),
            arrays.pad(maps, [(0, 0), (0, 3), (1, 0), (0, 0)], mode="edge"),
        )

    _same(jax.jit(operations)(maps, tall, strips), operations(maps, tall, strips))
    for resize, size in (
        (resizing.resize_linear, (18, 32)),
        (resizing.resize_linear, (shape[1], 24)),
        (resizing.resize_cubic, (27, 33)),
    ):
        jitted = jax.jit(resize, static_argnums=1)
        _same(jitted(maps, size), resize(maps, size), atol=1e-5)
        _same(jitted(maps[..., :1], size), resize(maps[..., :1], size), atol=1e-5)


def _gaussians(batch, size, channels):
    """Heatmaps with one peak each, some of them beyond the border, on a little noise."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[: size[0], : size[1]]
    centers = random.uniform((-2, -2), (size[0] + 2, size[1] + 2), (batch, channels, 2))
    squared = [(y[..., None] - c[:, 0]) ** 2 + (x[..., None] - c[:, 1]) ** 2 for c in centers]
    maps = np.exp(-np.array(squared) / 8) + 0.01 * random.random((batch, *size, channels))
    return maps.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["quarter", "dark"])
def test_topdown_agrees(decoder):
    decode = topdown.decoder(decoder, 2.0)

    def read(maps, mirrored, center, scale):
        flipped = topdown.flip_back(mirrored, COCO.flip_pairs)
        return decode((maps + flipped) / 2, center, scale)

    random = np.random.default_rng(3)
    center = random.uniform(0, 30, (4, 2)).astype(np.float32)
    scale = np.full((4, 2), 24 / 200, np.float32)  # a heatmap pixel is an image pixel
    drawn = _gaussians(4, (32, 24), 17)
    ties = (random.integers(-2, 3, drawn.shape) / 2).astype(np.float32)
    ties[0] = -np.abs(ties[0])
    half = drawn.astype(np.float16)
    for maps in (drawn, drawn + ties, half, *((ties,) if decoder == "quarter" else ())):
        mirrored = topdown.flip_back(maps, COCO.flip_pairs, shift=False)
        assert isinstance(mirrored, np.ndarray)
        _same(
            jax.jit(read)(maps, mirrored, center, scale),
            read(maps, mirrored, center, scale),
            atol=2e-5,
        )


def test_types_of_numpy_inputs():
    box = np.ones((1, 2)), np.ones((1, 2))
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        maps = _gaussians(1, (16, 24), 17)
        for decode in (topdown.decode, topdown.decode_dark):
            assert {each.dtype for each in decode(maps.astype(dtype), *box)} == {np.dtype("f")}
        outputs = np.zeros((1, 8, 12, 34), dtype), maps.astype(dtype)
        options = associative_embedding.Grouping()
        results = associative_embedding.find({1.0: (outputs, None)}, (32, 48), options)
        leaves = jax.tree.leaves(results)
        assert {leaf.dtype for leaf in leaves} == {np.dtype("f"), np.dtype("i")}
    assert isinstance(topdown.decode(maps.tolist(), *box)[0], np.ndarray)
    assert isinstance(part_affinity.from_coco(np.zeros((17, 3))), np.ndarray)


@pytest.mark.parametrize("refine", [True, False])
@pytest.mark.parametrize("kind", ["random", "ties", "sparse"])
def test_candidates_are_the_same(kind, refine):
    random = np.random.default_rng(4)
    heatmaps = random.standard_normal((2, 37, 50, 5))
    tags = random.standard_normal((2, 37, 50, 5, 2)).astype(np.float32)
    if kind == "ties":  # with zeros of both signs
        heatmaps = np.round(heatmaps * 2) / 2
    if kind == "sparse":  # fewer peaks than candidates
        heatmaps = np.where(heatmaps > 3.2, heatmaps, 0)
    options = associative_embedding.Grouping(refine=refine, nms_kernel=5 if refine else 3)
    candidates = jax.jit(associative_embedding.candidates, static_argnums=2)
    heatmaps = heatmaps.astype(np.float32)
    _same(
        candidates(heatmaps, tags, options),
        associative_embedding.candidates(heatmaps, tags, options),
    )


@pytest.mark.slow
@pytest.mark.parametrize("skeleton, flip", [(COCO, True), (CROWDPOSE, False)])
def test_people_by_tags_are_the_same(skeleton, flip):
    size, options = (128, 192), associative_embedding.Grouping()
    scene = scenes.draw(7, size, skeleton=skeleton, missing=0.2, flip=flip)
    large = [np.repeat(np.repeat(maps, 2, 1), 2, 2) for maps in scene.outputs]
    passes = {1.0: (scene.outputs, scene.mirrored), 2.0: (large, None)}

    def find(passes):
        return associative_embedding.find(passes, size, options, skeleton)

    expected, actual = jax.jit(find)(passes), find(passes)
    _same(expected[1:], actual[1:], atol=1e-5)
    keypoints, scores = associative_embedding.group(*image_of(expected, 0), options)
    people = associative_embedding.group(*image_of(actual, 0), options)
    assert (scores > 0.2).sum() == 7
    np.testing.assert_allclose(people[0], keypoints, atol=1e-5)
    np.testing.assert_allclose(people[1], scores, atol=1e-5)
    again = associative_embedding.decode(actual[1][0], jnp.asarray(actual[2][0]))
    np.testing.assert_array_equal(again[0], people[0])
    wrong = {1.0: ([*scene.outputs, large[0]], None)}
    with pytest.raises(ValueError, match=r"expected \[B, h, w, 1[47]\]"):
        associative_embedding.find(wrong, size, options, skeleton)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [True, False])
def test_people_by_fields_are_the_same(flip):
    size, options = (256, 320), part_affinity.Grouping()
    people = np.stack([person(80.1, 60.6, 3.3, hidden=("left_wrist",)), person(240.2, 50.1, 3.1)])
    outputs = [np.asarray(maps) for maps in part_affinity.encode_batch(people[None], size)]
    noise = np.random.default_rng(5)
    outputs = [x + 0.01 * noise.standard_normal(x.shape).astype(np.float32) for x in outputs]
    mirrored = [maps[:, :, ::-1] for maps in outputs] if flip else None
    passes = {1.0: (outputs, mirrored), 0.5: ([maps[:, ::2, ::2] for maps in outputs], None)}

    def find(passes):
        return part_affinity.find(passes, size, options)

    expected, actual = jax.jit(find)(passes), find(passes)
    _same(expected, actual, atol=1e-5)
    keypoints, scores = part_affinity.group(*image_of(expected, 0), options)
    assert len(scores) >= 2
    others = part_affinity.group(*image_of(actual, 0), options)
    np.testing.assert_allclose(others[0], keypoints, atol=1e-4)
    np.testing.assert_allclose(others[1], scores, rtol=1e-4)
    enlarged = jax.jit(resizing.resize_cubic, static_argnums=1)(outputs[0], size)
    _same(enlarged, resizing.resize_cubic(outputs[0], size), 1e-5)
    people = people[:, :17]
    _same(part_affinity.from_coco(jnp.asarray(people)), part_affinity.from_coco(people))
