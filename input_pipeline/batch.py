"""The batch: what the input pipeline hands to training and evaluation, written down once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Batch = dict[str, np.ndarray]

# Value of image_id and annotation_id in the slots that pad the last evaluation batch.
PADDING_ID = -1


def spec(
    input_size: tuple[int, int], num_joints: int
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Key -> (dtype, shape of one example) of a top-down batch.

    * image: RGB crop [H, W, 3], zero outside the picture.
    * valid: False where the slot holds no example (padding, or an undecodable picture at
      evaluation); such a slot must count for nothing.
    * keypoints: [K, 3], (x, y) in pixels of the crop and 1 where labelled; zeros elsewhere.
    * center, scale: of the crop, in pixels and in units of 200 pixels of the picture. In training
      they include the augmentation (and, for a mirrored example, belong to the mirrored picture);
      at evaluation they lead back to the picture (`geometry.heatmap_to_image`).
    * image_id, annotation_id: as in the annotation file (`annotations.People`).
    * box_score: the detector's score; 1 for annotated boxes.

    Args:
      input_size: (H, W) of the crop.
      num_joints: K.
    """
    height, width = input_size
    float32, int64 = np.dtype(np.float32), np.dtype(np.int64)
    return {
        "image": (np.dtype(np.uint8), (height, width, 3)),
        "valid": (np.dtype(np.bool_), ()),
        "keypoints": (float32, (num_joints, 3)),
        "center": (float32, (2,)),
        "scale": (float32, (2,)),
        "image_id": (int64, ()),
        "annotation_id": (int64, ()),
        "box_score": (float32, ()),
    }


def empty(size: int, input_size: tuple[int, int], num_joints: int) -> Batch:
    """A batch of `size` padding slots: zeros, valid False, scale 1, ids `PADDING_ID`."""
    batch = {
        key: np.zeros((size, *shape), dtype)
        for key, (dtype, shape) in spec(input_size, num_joints).items()
    }
    batch["scale"][:] = 1
    batch["image_id"][:] = batch["annotation_id"][:] = PADDING_ID
    return batch


def check(
    batch: Mapping[str, np.ndarray], size: int, input_size: tuple[int, int], num_joints: int
) -> None:
    """Raises ValueError unless the batch has exactly the documented keys, dtypes and shapes."""
    expected = spec(input_size, num_joints)
    if set(batch) != set(expected):
        raise ValueError(f"batch has keys {sorted(batch)}, expected {sorted(expected)}")
    for key, (dtype, shape) in expected.items():
        value = batch[key]
        if value.dtype != dtype or value.shape != (size, *shape):
            raise ValueError(
                f"batch[{key!r}] is {value.dtype}{list(value.shape)}, "
                f"expected {dtype}{[size, *shape]}"
            )
