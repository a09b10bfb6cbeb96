"""Networks by name: the library's, registered ones, and any that can be imported.

    models.register("my_network", MyNetwork, task="topdown", input_size=(256, 192))
    models.create_model("my_network")
    models.create_model("mypackage.networks:MyNetwork")

docs/own_network.md says what a network must provide.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import flax.linen as nn

from jaxpose.choices import did_you_mean
from jaxpose.layers import check_choice
from jaxpose.models.published import INFO, ModelInfo
from jaxpose.models.zoo import CONSTRUCTORS

Constructor = Callable[..., nn.Module]


class Model(NamedTuple):
    """Constructor and facts; `constructor(num_keypoints=K, **options)` makes the network."""

    constructor: Constructor
    info: ModelInfo


MODELS: dict[str, Model] = {
    name: Model(constructor, INFO[name]) for name, constructor in CONSTRUCTORS.items()
}


def list_models() -> tuple[str, ...]:
    """Names that `create_model` takes: those of the library and the registered ones."""
    return tuple(MODELS)


def register(
    name: str,
    constructor: Constructor,
    task: str,
    input_size: tuple[int, int],
    *,
    replace: bool = False,
) -> None:
    """Adds a model to this process; it can be used like the library's models.

    Args:
      name: a new name, without a colon.
      constructor: a Flax module class, or a function that makes a module, called as
        `constructor(num_keypoints=K, **options)`; the module is called as
        `model.apply(variables, images, train=False)` and returns what its task needs.
      task: the name of a task, e.g. "topdown".
      input_size: default input size (H, W) in pixels.
      replace: whether to replace a model of this name.

    Raises:
      ValueError: the name is taken or has a colon, or the constructor cannot be called like that.
    """
    if not isinstance(name, str) or not name or ":" in name:
        raise ValueError(f"model {name!r}: the name must be a string without a colon")
    if name in MODELS and not replace:
        raise ValueError(f"model {name!r} exists already; choose another name")
    parameters_of(name, constructor)
    MODELS[name] = Model(constructor, _custom_info(name, task, input_size))


def find(name: str) -> Model:
    """The model of that name; a name with a colon, `package.module:ClassName`, is imported.

    Raises:
      ValueError: no such model (the message has the nearest name), or the import is no network.
    """
    if ":" in name:
        return _import_model(name)
    check_choice("model", name, MODELS)
    return MODELS[name]


def info(name: str) -> ModelInfo:
    """Facts about a model: its task and input size, and what the literature says about it.

    An imported network states the first two in its attributes `task` and `input_size`; without
    these they are None.
    """
    return find(name).info


def task_name(name: str, given: str | None = None) -> str:
    """The name of a model's task; `given` is for networks that declare none.

    Raises:
      ValueError: neither declares a task, or they differ.
    """
    stated = info(name).task
    if stated is None:
        if given is None:
            raise ValueError(f"{name} declares no task: give --task, e.g. --task topdown")
        return given
    if given not in (None, stated):
        raise ValueError(f"{name} is {stated}, not {given}: leave out --task {given}")
    return stated


def default_size(name: str) -> tuple[int, int]:
    """The input size (H, W) that a model declares. Raises ValueError if it declares none."""
    size = info(name).input_size
    if size is None:
        raise ValueError(f"{name} declares no input_size: give --size HxW, e.g. --size 256x192")
    return size


def parameters_of(name: str, constructor: Constructor) -> Mapping[str, inspect.Parameter]:
    """The parameters of a constructor. Raises ValueError when it cannot make a network."""
    if isinstance(constructor, nn.Module):
        raise ValueError(f"model {name!r}: it is a module instance; pass its class or a function")
    if not callable(constructor):
        kind = type(constructor).__name__
        raise ValueError(f"model {name!r}: it is a {kind}, not a Flax module class or a function")
    if inspect.isclass(constructor) and not issubclass(constructor, nn.Module):
        raise ValueError(f"model {name!r}: the class is not a Flax module (flax.linen.Module)")
    parameters: Mapping[str, inspect.Parameter]
    try:
        parameters = inspect.signature(constructor).parameters
    except (ValueError, TypeError):  # no signature, e.g. of a function written in C
        parameters = {}
    if "num_keypoints" not in parameters and not takes_any_option(parameters):
        taken = ", ".join(parameters) or "nothing"
        raise ValueError(
            f"model {name!r}: its constructor must take num_keypoints, it takes {taken}"
        )
    return parameters


def takes_any_option(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether a function with these parameters ends in `**options`."""
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _import_model(name: str) -> Model:
    """The model `package.module:ClassName`."""
    path, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"model {name!r}: an import path has the form package.module:ClassName")
    module = _import_module(name, path)
    if not hasattr(module, attribute):
        public = [key for key, value in vars(module).items() if callable(value)]
        hint = did_you_mean(attribute, public, before="; ")
        raise ValueError(f"model {name!r}: {path} has no {attribute!r}{hint}")
    constructor = getattr(module, attribute)
    parameters_of(name, constructor)
    task, size = getattr(constructor, "task", None), getattr(constructor, "input_size", None)
    return Model(constructor, _custom_info(name, task, size))


def _import_module(name: str, path: str) -> ModuleType:
    """Imports a module; also from the current folder."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and f"{path}.".startswith(f"{error.name}."):
            raise ValueError(
                f"model {name!r}: no module {error.name!r} in {folder} or on the Python path"
            ) from None
        raise ValueError(
            f"model {name!r}: {path} needs {error.name!r}, which is not installed"
        ) from error
    except Exception as error:  # whatever the module's own code raises
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"model {name!r}: {path} cannot be imported ({text})") from error


def _custom_info(name: str, task: Any, input_size: Any) -> ModelInfo:
    """Facts about a user's network."""
    if task is not None and not isinstance(task, str):
        raise ValueError(f"model {name!r}: its task must be a name, e.g. 'topdown', not {task!r}")
    if input_size is not None:
        sides = input_size if isinstance(input_size, (tuple, list)) else ()
        if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(
                f"model {name!r}: input_size must be (height, width), not {input_size!r}"
            )
        input_size = tuple(input_size)
    return ModelInfo(name, task, "", input_size, ())
