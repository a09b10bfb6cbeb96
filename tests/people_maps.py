"""Maps of many people, as a trained bottom-up network would give them, for tests and timing."""

import numpy as np


def network_outputs(people, size, joints=17, seed=0, missing=0.3, crowded=False):
    """Outputs of a network on a picture of people and, turned back, on its mirror image.

    Every joint is a Gaussian of sigma 2 at both resolutions; around it, the tags are its person's
    (1.5 between neighbouring people, +-0.1 from joint to joint). A share of the joints is not
    found: their peaks are below 0.1. Everything carries a little noise.

    Args:
      people: number of people.
      size: (H, W) of the network's input.
      joints: K.
      seed: of all that is random.
      missing: share of the joints that the network does not see.
      crowded: people lie over each other, instead of each in a part of the picture.

    Returns:
      Two lists [quarter [1, H/4, W/4, 2K], half [1, H/2, W/2, K]], float32.
    """
    random = np.random.default_rng(seed)
    height, width = size
    columns = int(np.ceil(np.sqrt(people)))
    cell = np.array([width / columns, height / np.ceil(people / columns)])
    grid = np.stack(np.divmod(np.arange(people), columns)[::-1], axis=1)
    centers = (grid + 0.5) * cell + random.uniform(-0.1, 0.1, (people, 2)) * cell
    if crowded:
        centers = random.uniform(0.15, 0.85, (people, 2)) * [width, height]
    places = centers[:, None] + random.uniform(-0.35, 0.35, (people, joints, 2)) * cell
    heat = random.uniform(0.45, 1, (people, joints))
    unseen = random.random((people, joints)) < missing
    heat = np.where(unseen, random.choice([0, 0.02, 0.05, 0.08], heat.shape), heat)
    tags = 1.5 * (random.permutation(people) - people / 2)[:, None]
    tags = tags + random.normal(0, 0.1, (people, joints))

    passes = []
    for shift in (0, 0.1):
        outputs = []
        for stride in (4, 2):
            grid = np.mgrid[: height // stride, : width // stride].astype(np.float32)
            rows, columns = grid[..., None]
            maps = np.zeros((height // stride, width // stride, joints), np.float32)
            weights, tag_maps = np.full_like(maps, 1e-9), np.zeros_like(maps)
            for place, peak, tag in zip(places / stride, heat, tags, strict=True):
                squared = ((columns - place[:, 0]) ** 2 + (rows - place[:, 1]) ** 2) / 4
                maps = np.maximum(maps, peak * np.exp(-squared / 2))
                near = np.exp(-squared)
                weights, tag_maps = weights + near, tag_maps + near * (tag + shift)
            maps = maps + random.normal(0, 0.002, maps.shape)
            if stride == 4:
                tag_maps = tag_maps / weights + random.normal(0, 0.05, maps.shape)
                maps = np.concatenate([maps, tag_maps], axis=-1)
            outputs.append(maps[None].astype(np.float32))
        passes.append(outputs)
    return passes
