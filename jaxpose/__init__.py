"""jaxpose: lightweight human pose estimation in JAX and Flax.

    import jaxpose
    model = jaxpose.create_model("hwl_mobilenetv3", num_keypoints=17)
    variables = model.init(key, images, train=False)
    heatmaps = model.apply(variables, images, train=False)

Submodules (`jaxpose.losses`, `jaxpose.codecs.topdown`, `jaxpose.export`, ...) are imported when
they are first touched, so `import jaxpose` stays quick and needs no optional package.
"""

# No `from __future__ import annotations` here: its name would hide the submodule of that name.
import importlib
import pkgutil
from typing import Any

__version__ = "0.1.0"
__all__ = ["create_model", "list_models", "__version__"]

_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> Any:
    if name in ("create_model", "list_models"):  # they need jax
        return getattr(importlib.import_module(f"{__name__}.models"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_SUBMODULES | set(__all__) | set(globals()))
