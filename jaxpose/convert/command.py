"""`jaxpose import MODEL FILE.pth -o DIR`: converts a public PyTorch checkpoint to a run folder."""

from __future__ import annotations

import argparse
import ast
import json
import os
import pathlib
import pickle
from typing import Any

import numpy as np

from jaxpose import models, skeletons, tasks
from jaxpose.config import defaults
from jaxpose.convert import names
from jaxpose.convert.state_dict import check_convertible, from_torch
from jaxpose.files import path_argument
from jaxpose.geometry import nearest_size
from jaxpose.models.sizes import parse_size

_BY_COUNT = {len(s.joints): s for s in (skeletons.COCO, skeletons.MPII, skeletons.CROWDPOSE)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose import`."""
    parser.add_argument("model", metavar="MODEL", help="a name from `jaxpose models`")
    parser.add_argument("file", metavar="FILE.pth", type=path_argument, help="PyTorch checkpoint")
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=path_argument,
        required=True,
        help="run folder to write",
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of the paper)")
    parser.add_argument(
        "--sigma",
        type=float,
        help="sigma of the Gaussian targets in training, in heatmap pixels (default: 2; for HRNet "
        "and Lite-HRNet at 384x288, use 3)",
    )
    parser.add_argument(
        "--skeleton",
        metavar="NAME|FILE.json",
        type=os.path.expanduser,
        help="coco, mpii, crowdpose or a COCO annotation file (default: by number of keypoints)",
    )
    parser.add_argument(
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="model option, e.g. hard_sigmoid=hard_sigmoid_v1; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Reads and converts the checkpoint and writes the run folder."""
    # Check the arguments before importing orbax, which takes a second.
    info = models.info(args.model)
    check_convertible(args.model)
    size = input_size(args.size, info)
    options = names.OPTIONS.get(args.model, {}) | dict(map(parse_option, args.option))
    state_dict = read_checkpoint(args.file)
    num_keypoints = count_keypoints(args.model, state_dict)
    task = tasks.get(models.task_name(args.model))
    added = task.network_keypoints(0)  # keypoints of the network that no dataset has
    skeleton = choose_skeleton(args.skeleton, num_keypoints - added)
    variables = from_torch(args.model, state_dict, num_keypoints, **options)
    # Settings for using the weights; a .pth file does not say how they were trained. Evaluation has
    # the defaults, which are those of the papers.
    config = {
        "task": info.task,
        "model": args.model,
        "model_options": options,
        "input_size": size,
        "dtype": "float32",
        "ops": "auto",
        "batch_norm": "device",
        "sigma": args.sigma or defaults(task.SETTINGS)["sigma"],
        "eval": defaults(task.SETTINGS, "eval") | {"metric": task.metric_of(skeleton)},
    }
    from jaxpose import runs

    runs.write_run(args.output, config, skeleton, variables)
    pixels = "x".join(map(str, size))
    print(f"{args.output}: {args.model}, {num_keypoints} keypoints ({skeleton.name}), {pixels}")
    print(f"to evaluate it: python eval.py --workdir={args.output} --config=RECIPE")
    return 0


def input_size(text: str | None, info: models.ModelInfo) -> tuple[int, int]:
    """(H, W) of "HxW", by default that of the paper.

    Raises:
      ValueError: a size that the network does not support.
    """
    if text is None:
        return models.default_size(info.name)
    size, step = parse_size(text), tasks.get(models.task_name(info.name)).INPUT_STEP
    if any(side % step for side in size):
        near = "x".join(map(str, nearest_size(size, step)))
        raise ValueError(f"--size {text} must be multiples of {step}; the nearest is {near}")
    return size


def read_checkpoint(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The state_dict of a .pth file, at the top level or under 'state_dict', as numpy arrays.

    Only tensors and plain containers are read; no code in the file is executed.

    Raises:
      ValueError: no such file, not a checkpoint, or other objects than tensors.
      ImportError: torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(
            "reading a .pth file needs PyTorch: pip install torch "
            "--index-url https://download.pytorch.org/whl/cpu"
        ) from None
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path}: damaged, or contains objects other than tensors; if you trust the file, save "
            "only its state_dict with PyTorch and import that"
        ) from None
    except (RuntimeError, EOFError, OSError):
        raise ValueError(f"{path}: not a PyTorch checkpoint, or damaged") from None
    state_dict = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state_dict, dict) or not state_dict:
        raise ValueError(f"{path}: contains no state_dict")
    invalid = [key for key, value in state_dict.items() if not isinstance(value, torch.Tensor)]
    if invalid:
        raise ValueError(f"{path}: {invalid[0]!r} is not a tensor, so this is not a state_dict")
    return {key: value.detach().float().numpy() for key, value in state_dict.items()}


def count_keypoints(name: str, state_dict: dict[str, np.ndarray]) -> int:
    """Number of keypoints of a checkpoint, from its last layer."""
    for key, value in state_dict.items():
        extra = names.FINAL_LAYERS.get(names.canonical(name, key))
        if extra is not None:
            return int(value.shape[0]) - extra
    expected = " or ".join(map(repr, names.FINAL_LAYERS))
    raise ValueError(
        f"{name}: the checkpoint has no {expected}; was it made with a different model?"
    )


def choose_skeleton(choice: str | None, num_keypoints: int) -> skeletons.Skeleton:
    """The skeleton of a checkpoint.

    Args:
      choice: name of a built-in skeleton, or a COCO annotation file; None takes the built-in
        skeleton with this number of keypoints.
      num_keypoints: of the checkpoint, without keypoints that no dataset has.

    Raises:
      ValueError: no such skeleton, or one with another number of keypoints.
    """
    if choice is None:
        if num_keypoints not in _BY_COUNT:
            raise ValueError(
                f"no built-in skeleton has {num_keypoints} keypoints, like the checkpoint: give a "
                "COCO annotation file with --skeleton"
            )
        skeleton = _BY_COUNT[num_keypoints]
    elif choice.endswith(".json"):
        try:
            categories = json.loads(pathlib.Path(choice).read_text())["categories"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{choice}: cannot read COCO categories ({error})") from None
        category = skeletons.category_with_joints(categories)
        if category is None:
            raise ValueError(f"{choice}: no category has keypoint names under 'keypoints'")
        skeleton = skeletons.from_coco_category(category)
    else:
        skeleton = skeletons.get(choice)
    if len(skeleton.joints) != num_keypoints:
        raise ValueError(
            f"skeleton {skeleton.name!r} has {len(skeleton.joints)} keypoints, the checkpoint "
            f"{num_keypoints}"
        )
    return skeleton


def parse_option(text: str) -> tuple[str, Any]:
    """("width", 0.5) of "width=0.5"; values that are not Python literals stay strings."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--option {text!r} must be KEY=VALUE")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
