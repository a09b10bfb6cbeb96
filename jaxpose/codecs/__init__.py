"""Codecs: from joint coordinates to the maps that a network learns, and back."""

from jaxpose.codecs import associative_embedding, topdown

__all__ = ["associative_embedding", "topdown"]
