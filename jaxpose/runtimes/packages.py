"""Optional packages, imported where they are needed."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

# The default Linux wheel of torch needs gigabytes of CUDA libraries; the CPU build is enough here.
_INSTALLED_BY = {
    "torch": "pip install torch --index-url https://download.pytorch.org/whl/cpu",
    "ai_edge_litert": "pip install ai-edge-litert",
    "ai_edge_quantizer": "pip install ai-edge-quantizer",
    # With jax it installs the version that this jax needs.
    "libtpu": "pip install 'jax[tpu]'",
}


def require(package: str) -> ModuleType:
    """Imports an optional package.

    Raises:
      ImportError: it is not installed; the message gives the command that installs it.
    """
    if package == "coremltools":
        # Its import warns of newer versions of other packages and, off macOS, of missing parts.
        logging.getLogger(package).setLevel(logging.ERROR)
    try:
        return importlib.import_module(package)
    except ImportError as error:
        line = _INSTALLED_BY.get(package, f"pip install {package}")
        raise ImportError(f"{package} is not installed: {line}") from error
