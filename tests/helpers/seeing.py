"""Networks with known outputs: each color of an image is the heatmap of a joint."""

from typing import Any

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from configs import common
from jaxpose import geometry, ops, runs, skeletons

# Joints without sides, so that an image can show which is which by color, mirrored or not.
DOTS = skeletons.Skeleton("dots", ("red", "green", "blue"), ((0, 1), (1, 2)), (0.05, 0.05, 0.05))


class _Light(nn.Module):
    """The image's colors, 0..1: undoes the normalization."""

    @nn.compact
    def __call__(self, x):
        one = self.param("one", nn.initializers.ones, (1,))
        return (x * (geometry.STD / 255) + geometry.MEAN / 255) * one


class Seer(nn.Module):
    """Bottom-up: the heatmaps are the colors, the tags grow from the top down."""

    task = "associative_embedding"
    input_size = (64, 64)

    num_keypoints: int = 3
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        light = _Light(name="light")(x)
        low, high = (ops.avg_pool(light, window=n, stride=n) for n in (4, 2))
        rows = np.arange(low.shape[1], dtype=np.float32) / low.shape[1] * 10
        return jnp.concatenate([low, low * 0 + rows[None, :, None, None]], -1), high


class Looker(nn.Module):
    """Top-down: the heatmaps are the colors."""

    task = "topdown"
    input_size = (32, 128)

    num_keypoints: int = 3
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        return ops.avg_pool(_Light(name="light")(x), window=4, stride=4)


def draw_image(people, size):
    """Blobs of red, green and blue at people [N, 3, 2] (x, y), on black: uint8 [H, W, 3]."""
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.zeros((*size, 3))
    for joints in people:
        for k, (cx, cy) in enumerate(joints):
            blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 4.0**2))
            image[..., k] = np.maximum(image[..., k], blob)
    return (255 * image).astype(np.uint8)


def two_people(size):
    """Two people, one above the other: [2, 3, 2]."""
    height, width = size
    upper = np.array([[0.2, 0.2], [0.5, 0.25], [0.8, 0.2]]) * (width, height)
    return np.stack([upper, upper[::-1] + (0, 0.5 * height)]).round()


SIZE = (96, 160)  # of the image of two people
PEOPLE = two_people(SIZE)


def write_image(path, dim=1.0):
    """The two people as a PNG; the lower one's colors are dimmed."""
    image = draw_image(PEOPLE, SIZE)
    image[SIZE[0] // 2 :] = image[SIZE[0] // 2 :] * dim
    cv2.imwrite(str(path), image[..., ::-1])
    return image


def write_runs(folder, codec="gaussian"):
    """Run folders of a `Looker` of 32x128 pixels and of a `Seer` of short side 64."""
    folders, topdown = [], common.get_config()
    topdown.codec = codec
    for network, config in ((Looker, topdown), (Seer, common.bottomup())):
        config.model = f"tests.helpers.seeing:{network.__name__}"
        config.input_size = network.input_size
        images = np.zeros((1, *network.input_size, 3), np.float32)
        variables = network().init(jax.random.key(0), images)
        folders.append(folder / network.__name__)
        runs.write_run(folders[-1], config.to_dict(), DOTS, variables)
    return folders
