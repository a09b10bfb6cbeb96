"""What the codecs need of numpy on the host and of JAX on the device."""

from __future__ import annotations

from typing import Any

import numpy as np


def namespace(array: Any) -> Any:
    """numpy for a numpy array, else jax.numpy."""
    if isinstance(array, np.ndarray):
        return np
    import jax.numpy as jnp

    return jnp
