"""Drawings of heatmaps: one tile per keypoint, over the input of the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxpose import draw

MOST_PEOPLE = 20  # in one drawing
LONGEST_SIDE = 65500  # of a JPEG, pixels
TILE = 160  # smallest width and height of a tile, pixels
PRESENT = 0.1  # lowest heatmap value at which a tag is drawn


@dataclasses.dataclass(frozen=True)
class Maps:
    """What a network outputs for one view of an image, before decoding, without flip test.

    Attributes:
      view: uint8 [H, W, 3] RGB, the network's input: the crop of a person, or the whole image.
      heatmaps: float32 [h, w, K].
      tags: float32 [h, w, K], which group keypoints into people; None if the network has none.
    """

    view: np.ndarray
    heatmaps: np.ndarray
    tags: np.ndarray | None = None


def draw_maps(maps: Sequence[Maps], joints: Sequence[str]) -> np.ndarray:
    """Draws the views of an image on one sheet, one below the other.

    Views that would make the sheet longer than a JPEG may be are left out (`shown_views`).

    The first tile of a view is the network's input. The colors of a view go from blue (0) to red,
    the highest value of all its heatmaps; captions have the highest value of each heatmap. OpenCV
    can only draw ASCII: a keypoint with another name has its number, from 0.

    Args:
      maps: one per person (top-down), or one for the whole image.
      joints: names of the K keypoints.

    Returns:
      uint8 [H, W, 3] RGB.

    Raises:
      ValueError: no maps.
    """
    tiles: list[np.ndarray] = []
    captions: list[str] = []
    columns = _columns(joints)
    height, titles = _tile_height(maps, joints), _titles(maps, joints)
    for view, texts_of_blocks in zip(maps[: shown_views(maps, joints)], titles, strict=False):
        blocks = [_heat_tiles(view)]
        if view.tags is not None:
            blocks.append(_tag_tiles(view))
        for block, texts in zip(blocks, texts_of_blocks, strict=True):
            # Every block starts a new row.
            missing = -len(block) % columns
            tiles += block + [np.full_like(view.view, 255)] * missing
            captions += texts + [" "] * missing
    return draw.contact_sheet(tiles, captions, columns=columns, height=height)


def shown_views(maps: Sequence[Maps], joints: Sequence[str]) -> int:
    """Returns how many of the views `draw_maps` draws: at least one."""
    if not maps:
        return 0
    blocks = 1 if maps[0].tags is None else 2
    rows = blocks * -(-(len(joints) + 1) // _columns(joints))
    most_rows = draw.rows_in(LONGEST_SIDE, _tile_height(maps, joints))
    return min(len(maps), max(1, most_rows // rows))


def _columns(joints: Sequence[str]) -> int:
    return min(6 if len(joints) <= 24 else 12, len(joints) + 1)


def _tile_height(maps: Sequence[Maps], joints: Sequence[str]) -> int:
    """Height of a tile on which every caption fits, pixels."""
    height, width = maps[0].view.shape[:2] if maps else (1, 1)
    texts = [text for blocks in _titles(maps, joints) for block in blocks for text in block]
    widest = max([TILE, *map(draw.caption_width, texts)])
    return max(TILE, int(np.ceil(widest * height / width)))


def _titles(maps: Sequence[Maps], joints: Sequence[str]) -> list[list[list[str]]]:
    """The captions of the tiles of each block of each view."""
    names = [name if name.isascii() else f"keypoint {k}" for k, name in enumerate(joints)]
    titles = []
    for number, view in enumerate(maps, start=1):
        first = f"input {number}" if len(maps) > 1 else "input"
        peaks = zip(names, _peaks(view), strict=True)
        blocks = [[first, *(f"{name} {peak:.2f}" for name, peak in peaks)]]
        if view.tags is not None:
            blocks.append(["tags", *names])
        titles.append(blocks)
    return titles


def _peaks(maps: Maps) -> np.ndarray:
    return maps.heatmaps.max(axis=(0, 1))


def _heat_tiles(maps: Maps) -> list[np.ndarray]:
    top = max(float(maps.heatmaps.max()), 1e-6)
    tiles = [maps.view]
    for k in range(maps.heatmaps.shape[-1]):
        heat = np.clip(_enlarged(maps.heatmaps[..., k], maps.view) / top, 0, 1)
        tiles.append(_blend(maps.view, heat, heat))
    return tiles


def _tag_tiles(maps: Maps) -> list[np.ndarray]:
    """Tags where the heatmaps exceed `PRESENT`; one color scale for all keypoints."""
    assert maps.tags is not None
    shown = maps.tags[maps.heatmaps > PRESENT]
    low, high = (shown.min(), shown.max()) if shown.size else (0.0, 1.0)
    tiles = [maps.view]
    for k in range(maps.heatmaps.shape[-1]):
        tag = _enlarged(maps.tags[..., k], maps.view)
        heat = _enlarged(maps.heatmaps[..., k], maps.view) > PRESENT
        scaled = np.clip((tag - low) / max(high - low, 1e-6), 0, 1)
        tiles.append(_blend(maps.view, scaled, heat.astype(np.float32)))
    return tiles


def _enlarged(values: np.ndarray, view: np.ndarray) -> np.ndarray:
    import cv2

    height, width = view.shape[:2]
    values = np.ascontiguousarray(values, np.float32)
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)


def _blend(view: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colors of `values` 0..1 over the darkened gray view, where `weight` 0..1 is high."""
    import cv2

    gray = cv2.cvtColor(np.ascontiguousarray(view), cv2.COLOR_RGB2GRAY)[..., None] * 0.7
    index = np.round(values * 255).astype(np.uint8)
    color = cv2.applyColorMap(index, cv2.COLORMAP_TURBO)[..., ::-1]
    alpha = np.clip(1.5 * weight, 0, 0.85)[..., None]
    return np.round(gray * (1 - alpha) + color * alpha).astype(np.uint8)
