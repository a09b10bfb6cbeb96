"""Where the files of a dataset are, by its settings."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict


def split_files(data: ConfigDict, split: str, root: Path) -> tuple[Path, Path]:
    """The annotation file of a split and the folder of its images, whether they exist or not.

    Args:
      data: the settings `config.data`.
      split: "train" or "val".
      root: folder of the dataset.
    """
    if data.format == "generated":
        return generated_files(split, root)
    return root / data[f"{split}_annotations"], root / data[f"{split}_images"]


def generated_files(split: str, root: Path) -> tuple[Path, Path]:
    """`split_files` of generated people."""
    return root / f"{split}.json", root / "images"
