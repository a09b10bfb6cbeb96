"""Keys, dtypes and shapes of the batches that the input pipeline gives to training and evaluation.

A spec is the contract of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

Batch = dict[str, np.ndarray]
# Key -> (dtype, shape of one example); an image side that differs between batches is None.
Spec = dict[str, tuple[np.dtype, tuple[int | None, ...]]]

# Value of image_id and annotation_id in the slots that pad the last evaluation batch.
PADDING_ID = -1

_BOOL, _UINT8 = np.dtype(np.bool_), np.dtype(np.uint8)
_FLOAT, _INT32, _INT64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)


def topdown_spec(input_size: tuple[int, int], num_joints: int) -> Spec:
    """Spec of a top-down batch, for training and evaluation.

    * image: RGB crop [H, W, 3], zero outside the original image.
    * valid: False if the slot holds no example (padding, or an unusable image at evaluation);
      such a slot must not count.
    * keypoints: [K, 3], (x, y) in pixels of the crop and 1 where labeled; zeros elsewhere.
    * center, scale: of the crop, in pixels and units of 200 pixels of the original image. In
      training they include the augmentation (and refer to the mirrored image if the example is
      mirrored); at evaluation they map back to the original image (`geometry.heatmap_to_image`).
    * image_id, annotation_id: as in the annotation file (`People`).
    * box_score: the detector's score; 1 for annotated boxes.

    Args:
      input_size: (H, W) of the crop.
      num_joints: K.
    """
    return {
        "image": (_UINT8, (*input_size, 3)),
        "valid": (_BOOL, ()),
        "keypoints": (_FLOAT, (num_joints, 3)),
        "center": (_FLOAT, (2,)),
        "scale": (_FLOAT, (2,)),
        "image_id": (_INT64, ()),
        "annotation_id": (_INT64, ()),
        "box_score": (_FLOAT, ()),
    }


def pixels_spec() -> Spec:
    """Spec of what the devices need to change the pixels of a training crop.

    * color: what is added to hue (in steps of 2 degrees), saturation and value.
    * hole: (left, top, right, bottom) of the rectangle that is set to 0, in pixels of the crop; the
      right and bottom edges are outside of it. Zeros if there is none.
    """
    return {"color": (_INT32, (3,)), "hole": (_INT32, (4,))}


def bottomup_training_spec(input_size: tuple[int, int], num_joints: int, max_people: int) -> Spec:
    """Spec of a bottom-up training batch.

    * image: RGB [H, W, 3], zero outside the original image.
    * valid: always True in training.
    * keypoints: [P, K, 3], (x, y) in pixels of `image` and 1 where labeled, zeros elsewhere; one
      person per row, unused rows are zero. Labeled keypoints may lie outside `image`.
    * mirrored: whether the example is mirrored. `keypoints` are already mirrored, but HigherHRNet
      mirrors them at heatmap resolution, which rounds differently, so the encoder needs the flag.
    * mask_quarter [H/4, W/4], mask_half [H/2, W/2]: 1 where the loss counts; 0 in crowds, on people
      without labels and outside the original image.
    * center, scale: of the view, including augmentation, in pixels and units of 200 pixels of the
      original image before mirroring.
    * image_id: as in the annotation file.

    Args:
      input_size: (H, W), multiples of 4.
      num_joints: K.
      max_people: P.
    """
    height, width = input_size
    return {
        "image": (_UINT8, (height, width, 3)),
        "valid": (_BOOL, ()),
        "keypoints": (_FLOAT, (max_people, num_joints, 3)),
        "mirrored": (_BOOL, ()),
        "mask_quarter": (_UINT8, (height // 4, width // 4)),
        "mask_half": (_UINT8, (height // 2, width // 2)),
        "center": (_FLOAT, (2,)),
        "scale": (_FLOAT, (2,)),
        "image_id": (_INT64, ()),
    }


def scale_key(scale: float) -> str:
    """Returns the batch key of the image at one scale of a multi-scale test."""
    return "image" if scale == 1 else f"image@{scale:g}"


def bottomup_evaluation_spec(sizes: Mapping[float, Sequence[int | None]]) -> Spec:
    """Spec of a bottom-up evaluation batch; all images of one batch have the same size.

    * image: RGB [h, w, 3], the whole image with zeros around it; `image@0.5` and so on are the
      same view at the other scales of the test.
    * valid: as for top-down.
    * center, scale: of the view; they map pixels of `image` back to the original image
      (`geometry.heatmap_to_image`).
    * image_id: as in the annotation file.

    Args:
      sizes: scale -> (h, w); scale 1 must be among the keys.
    """
    images = {scale_key(scale): (_UINT8, (*size, 3)) for scale, size in sizes.items()}
    return {
        **images,
        "valid": (_BOOL, ()),
        "center": (_FLOAT, (2,)),
        "scale": (_FLOAT, (2,)),
        "image_id": (_INT64, ()),
    }


def new_batch(size: int, spec: Spec) -> Batch:
    """Returns arrays for a batch of `size` slots, which have no values yet."""
    return {
        key: np.empty((size, *cast(tuple[int, ...], shape)), dtype)
        for key, (dtype, shape) in spec.items()
    }


def empty_batch(size: int, spec: Spec) -> Batch:
    """Returns a batch of `size` padding slots: zeros, valid False, scale 1, ids `PADDING_ID`."""
    batch = new_batch(size, spec)
    for values in batch.values():
        values[:] = 0
    batch["scale"][:] = 1
    for key in ("image_id", "annotation_id"):
        if key in batch:
            batch[key][:] = PADDING_ID
    return batch
