"""Codecs: from keypoints to the maps that a network learns, and back."""

from jaxpose.codecs import associative_embedding, part_affinity, topdown

__all__ = ["associative_embedding", "part_affinity", "topdown"]
