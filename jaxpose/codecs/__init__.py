"""Codecs: from joint coordinates to the maps that a network learns, and back."""

from jaxpose.codecs import topdown

__all__ = ["topdown"]
