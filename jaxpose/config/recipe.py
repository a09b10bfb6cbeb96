"""Recipes: Python files with `get_config()` or `get_config(variant)`, which return all settings."""

from __future__ import annotations

import pathlib
import runpy
import sys

from ml_collections import ConfigDict

from jaxpose.choices import did_you_mean
from jaxpose.files import expand


def split_recipe(text: str) -> tuple[pathlib.Path, str]:
    """FILE and VARIANT of "FILE[:VARIANT]"."""
    file, _, variant = text.partition(":")
    return expand(file), variant


def check_recipe(text: str, option: str = "") -> None:
    """Checks that the file of a recipe exists.

    Args:
      text: FILE[:VARIANT].
      option: text before it on the command line, for the error message.

    Raises:
      FileNotFoundError: no such file, with the nearest name.
    """
    path, _ = split_recipe(text)
    if not path.is_file():
        hint = did_you_mean(path, path.parent.glob("*.py"), before="; ")
        raise FileNotFoundError(f"{option}{path}: no such file{hint}")


def load_recipe(text: str) -> ConfigDict:
    """The settings of a recipe, FILE[:VARIANT].

    A recipe may import other modules of its folder as a package, as those of configs/ do.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the recipe has no such variant.
    """
    check_recipe(text)
    path, variant = split_recipe(text)
    folder = str(path.resolve().parent.parent)
    sys.path.insert(0, folder)
    try:
        get_config = runpy.run_path(str(path))["get_config"]
        return get_config(variant) if variant else get_config()
    finally:
        sys.path.remove(folder)
