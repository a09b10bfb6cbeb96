"""What a dataset contains, in words: counts, skeleton, sizes, and notes on a low score."""

from __future__ import annotations

import numpy as np

from jaxpose import skeletons
from jaxpose.annotations import Dataset
from jaxpose.wording import agree, quantity


def describe(dataset: Dataset) -> str:
    """Counts, skeleton, left-right pairs and sizes, in several lines."""
    people, skeleton = dataset.people, dataset.skeleton
    names = skeleton.joints
    pairs = ", ".join(f"{names[a]}-{names[b]}" for a, b in skeleton.flip_pairs)
    source = "from the names" if skeleton.declared_pairs is None else "declared"
    pairs = f"{pairs} ({source}; they swap in mirrored images)" if pairs else f"none ({source})"
    middle = [n for k, n in enumerate(names) if skeleton.flip_indices[k] == k]
    labeled = people.keypoints[..., 2].astype(bool)
    sizes = np.sqrt(people.box[:, 2] * people.box[:, 3])
    lines = [
        f"  {dataset.summary}",
        f"  skeleton {skeleton.name!r}: {quantity(skeleton.num_joints, 'keypoint')}, "
        f"{quantity(len(skeleton.limbs), 'limb')}",
        f"  left-right pairs: {pairs}",
        f"  keypoints without a side: {', '.join(middle) or 'none'}",
    ]
    if len(people):
        low, median, high = np.percentile(sizes, [5, 50, 95])
        shares = zip(names, 100 * labeled.mean(0), strict=True)
        lines += [
            f"  labeled keypoints per person: {labeled.sum(1).mean():.1f}; by keypoint, percent: "
            + ", ".join(f"{name} {share:.0f}" for name, share in shares),
            f"  size of a person (square root of the box area): median {median:.0f} pixels, "
            f"5th to 95th percentile {low:.0f} to {high:.0f}",
        ]
    else:
        lines.append("  note: no person has a box, so only bottom-up networks can use the file")
    return "\n".join(lines + _per_image(dataset) + _warnings(dataset, labeled, skeleton))


def _per_image(dataset: Dataset) -> list[str]:
    """Statistics for bottom-up networks; none for MPII, which does not annotate all people."""
    if dataset.format == "mpii":
        return []
    counts = np.array([len(rows) for rows in dataset.labeled_rows.values()])
    count = sum(map(len, dataset.regions.values()))
    lines = [
        f"  people per image: median {np.median(counts):.0f}, at most {counts.max()}; "
        f"{quantity(len(dataset.with_people), 'image')} with people, "
        f"{quantity(count, 'ignored region')}"
    ]
    if dataset.crowd_index:
        index = np.array(list(dataset.crowd_index.values()))
        easy, hard = (index < 0.2).sum(), (index >= 0.8).sum()
        lines.append(
            f"  crowdIndex {index.min():.2f} to {index.max():.2f}: {easy} easy, "
            f"{len(index) - easy - hard} medium, {hard} hard images"
        )
    return lines


def _warnings(dataset: Dataset, labeled: np.ndarray, skeleton: skeletons.Skeleton) -> list[str]:
    """Notes on what does not stop training but may explain a low score."""
    people, lines = dataset.people, []
    unused = [n for n, count in zip(skeleton.joints, labeled.sum(0), strict=True) if not count]
    if unused and len(people):
        lines.append(f"  note: never labeled: {', '.join(unused)}")
    empty = len(dataset.images) - len(dataset.with_people)
    if empty:
        lines.append(
            f"  note: {quantity(empty, 'image')} without people; bottom-up networks use them as "
            "background with --config.data.negatives=True"
        )
    if not skeleton.limbs:
        lines.append("  note: no limbs; drawings show points only")
    infos = [dataset.images[identity] for identity in people.image_id.tolist()]
    rows = [row for row, info in enumerate(infos) if info.has_size]
    if rows:
        limits = np.array([infos[row].size[::-1] for row in rows])[:, None]
        points = people.keypoints[rows, :, :2]
        outside = (((points < 0) | (points > limits)).any(-1) & labeled[rows]).sum()
        if outside:
            lines.append(
                f"  note: {quantity(outside, 'labeled keypoint')} "
                f"{agree(outside, 'lies', 'lie')} outside the image"
            )
    if unknown := sum(info.id in dataset.unsized for info in infos):
        lines.append(
            f"  note: {quantity(unknown, 'person', 'people')} in images of unknown size: "
            "whether the keypoints lie inside is not checked"
        )
    return lines
