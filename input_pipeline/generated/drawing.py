"""Generated people: shaded, textured shapes on a canvas that records the owner of each pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (along, across) -> RGB [..., 3]


@dataclasses.dataclass
class Canvas:
    """An image that is painted back to front.

    Attributes:
      image: float32 RGB [H, W, 3], 0..255.
      owner: int32 [H, W], number of the last shape that covers a pixel; 0 for none.
      light: unit vector towards the light, x right, y down, z to the camera.
      ambient: brightness (0..1) of a surface that faces away from the light.
    """

    image: np.ndarray
    owner: np.ndarray
    light: np.ndarray
    ambient: float

    def patch(
        self, low: np.ndarray, high: np.ndarray
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
        """Returns the pixels of a box inside the image: (slices, x [1, w], y [h, 1]), or None."""
        height, width = self.owner.shape
        x1, y1 = np.maximum(np.floor(low).astype(int) - 1, 0)
        x2, y2 = np.minimum(np.ceil(high).astype(int) + 2, (width, height))
        if x1 >= x2 or y1 >= y2:
            return None
        x = np.arange(x1, x2, dtype=np.float32)[None, :]
        y = np.arange(y1, y2, dtype=np.float32)[:, None]
        return (slice(y1, y2), slice(x1, x2)), x, y

    def blend(
        self,
        where: tuple[slice, slice],
        alpha: np.ndarray,
        color: np.ndarray,
        shade: np.ndarray | float,
        owner: int,
    ) -> None:
        """Paints `color * shade` with coverage `alpha`; pixels covered by half get the owner."""
        alpha = alpha[..., None]
        shade = shade[..., None] if isinstance(shade, np.ndarray) else shade
        region = self.image[where]
        region += alpha * (color * shade - region)
        if owner:
            self.owner[where][alpha[..., 0] > 0.5] = owner

    def shade(self, nx: np.ndarray, ny: np.ndarray) -> np.ndarray:
        """Returns the brightness of a round surface whose normal has these image components."""
        nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.0))
        lit = np.maximum(nx * self.light[0] + ny * self.light[1] + nz * self.light[2], 0)
        rim = 0.72 + 0.28 * nz  # darker at the silhouette, so that limbs stand out
        return (self.ambient + (1 - self.ambient) * lit) * rim


def plain(color: np.ndarray) -> Paint:
    return lambda along, across: color


def pattern(kind: str, first: np.ndarray, second: np.ndarray, period: float) -> Paint:
    """Returns rings, stripes or checks; `period` is in the units of (along, across)."""

    def paint(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        a = np.sin(2 * np.pi * along / period) > 0
        b = np.sin(2 * np.pi * across / period) > 0
        chosen = {"rings": a, "stripes": b, "checks": a ^ b}[kind]
        return np.where(np.broadcast_arrays(chosen, along)[0][..., None], first, second)

    return paint


def _segment(
    x: np.ndarray, y: np.ndarray, p: np.ndarray, q: np.ndarray, rp: float, rq: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns position along a tapered limb (0..1), offset (x, y) from its axis, and radius."""
    dx, dy = q - p
    along = ((x - p[0]) * dx + (y - p[1]) * dy) / max(dx * dx + dy * dy, 1e-6)
    along = np.clip(along, 0, 1)
    return along, x - p[0] - along * dx, y - p[1] - along * dy, rp + (rq - rp) * along


def limb(
    canvas: Canvas,
    p: np.ndarray,
    q: np.ndarray,
    rp: float,
    rq: float,
    paint: Paint,
    owner: int,
) -> None:
    """Draws a round limb from p to q (pixels) with radii rp and rq."""
    low, high = np.minimum(p - rp, q - rq), np.maximum(p + rp, q + rq)
    patch = canvas.patch(low, high)
    if patch is None:
        return
    where, x, y = patch
    along, ox, oy, radius = _segment(x, y, p, q, rp, rq)
    alpha = np.clip(0.5 + radius - np.sqrt(ox * ox + oy * oy), 0, 1)
    dx, dy = (q - p) / max(float(np.hypot(*(q - p))), 1e-3)
    # Shaded across the axis but not at the ends, so that two limbs meet without a seam.
    across = np.clip((ox * dy - oy * dx) / radius, -1, 1)
    nx, ny = across * dy, -across * dx
    canvas.blend(where, alpha, paint(along, across), canvas.shade(nx, ny), owner)


def trunk(
    canvas: Canvas,
    corners: np.ndarray,
    radius: float,
    paint: Paint,
    owner: int,
) -> None:
    """Draws a torso with rounded corners.

    Args:
      canvas: the canvas.
      corners: [4, 2], left shoulder, right shoulder, right hip, left hip, pixels.
      radius: distance by which the quadrilateral is enlarged, pixels.
      paint: color; its `along` runs from the shoulders (0) to the hips (1).
      owner: number of the shape.
    """
    patch = canvas.patch(corners.min(axis=0) - radius, corners.max(axis=0) + radius)
    if patch is None:
        return
    where, x, y = patch
    distance = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, np.float32)
    for k in range(4):
        _, ox, oy, _ = _segment(x, y, corners[k], corners[(k + 1) % 4], 0, 0)
        distance = np.minimum(distance, np.sqrt(ox * ox + oy * oy))
    inside = np.zeros(distance.shape, np.uint8)
    offset = np.array([where[1].start, where[0].start])
    hull = cv2.convexHull(np.round(corners - offset).astype(np.int32))
    cv2.fillConvexPoly(inside, hull, 1)
    alpha = np.where(inside > 0, 1, np.clip(0.5 + radius - distance, 0, 1))
    top, bottom = corners[:2].mean(axis=0), corners[2:].mean(axis=0)
    widths = [np.hypot(*(corners[0] - corners[1])) / 2, np.hypot(*(corners[2] - corners[3])) / 2]
    along, ox, oy, half = _segment(x, y, top, bottom, widths[0] + radius, widths[1] + radius)
    dx, dy = (bottom - top) / max(float(np.hypot(*(bottom - top))), 1e-3)
    across = np.clip((ox * dy - oy * dx) / half, -1, 1)
    bulge = 0.85 * across
    canvas.blend(where, alpha, paint(along, across), canvas.shade(bulge * dy, -bulge * dx), owner)


def ball(
    canvas: Canvas,
    center: np.ndarray,
    radii: np.ndarray,
    turn: np.ndarray,
    paint: Callable[[np.ndarray], np.ndarray],
    owner: int,
) -> None:
    """Draws an ellipsoid.

    Args:
      canvas: the canvas.
      center: [2], pixels.
      radii: [3], half axes in its own coordinates, pixels.
      turn: rotation [3, 3] from its own coordinates to the camera's (y up).
      paint: unit vectors in its own coordinates [..., 3] -> RGB [..., 3].
      owner: number of the shape.
    """
    reach = float(max(radii))
    patch = canvas.patch(center - reach, center + reach)
    if patch is None:
        return
    where, x, y = patch
    # Scaling the axes to 1 turns the ellipsoid into a unit sphere. The camera's ray
    # (x, y) + z * ahead meets the sphere at a root of a quadratic in z.
    shrink = (turn / radii).T  # camera -> unit sphere
    px, py = np.broadcast_arrays(x - center[0], -(y - center[1]))
    base = px[..., None] * shrink[:, 0] + py[..., None] * shrink[:, 1]
    ahead = shrink[:, 2]
    a, b = ahead @ ahead, base @ ahead
    c = (base * base).sum(-1)
    inner = b * b - a * (c - 1)
    outside = np.sqrt(np.maximum(c - b * b / a, 0))  # 1 on the silhouette
    alpha = np.clip(0.5 + (1 - outside) * float(np.mean(radii[:2])), 0, 1)
    z = (-b + np.sqrt(np.maximum(inner, 0))) / a
    normal = base + z[..., None] * ahead
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    facing = normal @ turn.T
    canvas.blend(where, alpha, paint(normal), canvas.shade(facing[..., 0], -facing[..., 1]), owner)


def polygon(canvas: Canvas, points: np.ndarray, color: np.ndarray, owner: int) -> None:
    """Draws a flat polygon [N, 2] (pixels) with smooth edges."""
    patch = canvas.patch(points.min(axis=0), points.max(axis=0))
    if patch is None:
        return
    where, x, y = patch
    mask = np.zeros((y.shape[0], x.shape[1]), np.uint8)
    offset = np.array([where[1].start, where[0].start])
    shifted = np.round((points - offset) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 255, cv2.LINE_AA, shift=4)
    canvas.blend(where, mask.astype(np.float32) / 255, color, 0.9, owner)
