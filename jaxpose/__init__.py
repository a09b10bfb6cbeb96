"""jaxpose: lightweight human pose estimation in JAX and Flax.

    import jaxpose
    estimator = jaxpose.PoseEstimator("hwl.onnx")  # or a run folder
    poses = estimator(image, boxes)

    model = jaxpose.create_model("hwl_mobilenetv3", num_keypoints=17)
    variables = model.init(key, images, train=False)
    heatmaps = model.apply(variables, images, train=False)

Submodules (`jaxpose.losses`, `jaxpose.codecs.topdown`, `jaxpose.export`, ...) and the names above
are imported when they are first used: `import jaxpose` is instant, imports neither JAX nor Flax and
needs no optional package.
"""

# No `from __future__ import annotations` here: its name would hide the submodule of that name.
import importlib
import pkgutil
from typing import Any

__version__ = "0.1.0"
__all__ = ["PoseEstimator", "Poses", "create_model", "list_models", "__version__"]

_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))
# What the package offers itself, and the submodule that each name comes from.
_NAMES = {
    "PoseEstimator": "predict",
    "Poses": "poses",
    "create_model": "models",
    "list_models": "models",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_SUBMODULES, *_NAMES, *globals()})
