"""Codecs: from keypoints to the maps that a network learns, and back.

Decoding computes with numpy when its arrays are numpy, and with JAX otherwise; JAX is not imported
before something needs it.
"""

from jaxpose.codecs import associative_embedding, part_affinity, simcc, topdown

__all__ = ["associative_embedding", "part_affinity", "simcc", "topdown"]
