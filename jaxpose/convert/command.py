"""`jaxpose import`: public PyTorch checkpoints as run folders.

jaxpose import NAME -o DIR              a checkpoint of `jaxpose weights`, downloaded
jaxpose import NAME --file FILE -o DIR  the same, from a file that you have already downloaded
jaxpose import MODEL FILE.pth -o DIR    any file of that network
jaxpose import FILE.safetensors -o DIR  a file of `jaxpose export --to weights`
"""

from __future__ import annotations

import argparse
import ast
import os
import pathlib
from typing import Any

from jaxpose import models, public_skeletons, skeletons, tasks, tensor_file, weights
from jaxpose.annotations import read_json
from jaxpose.choices import choose_from
from jaxpose.convert import names
from jaxpose.convert.files import read_state_dict
from jaxpose.convert.keypoints import count_keypoints, keep_keypoints
from jaxpose.convert.state_dict import check_convertible, from_torch, given_arrays, input_size_of
from jaxpose.files import path_argument
from jaxpose.geometry import nearest_size
from jaxpose.models.sizes import parse_size
from jaxpose.weights import HEATMAP_CODECS, Checkpoint
from jaxpose.weights.command import add_table_argument
from jaxpose.weights.run_config import run_config
from jaxpose.wording import quantity

# Options whose values a row of the table gives.
_FOR_FILES = ("size", "codec", "sigma", "skeleton", "option")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose import`."""
    parser.add_argument(
        "model",
        metavar="NAME|MODEL",
        help="a checkpoint from `jaxpose weights`, a network from `jaxpose models`, or a file of "
        "`jaxpose export --to weights`",
    )
    parser.add_argument(
        "file",
        metavar="FILE.pth",
        nargs="?",
        type=path_argument,
        help="PyTorch or safetensors file with weights of MODEL",
    )
    parser.add_argument(
        "--file",
        dest="fetched",
        metavar="FILE",
        type=path_argument,
        help="file of NAME that you have already downloaded",
    )
    add_table_argument(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=path_argument,
        required=True,
        help="run folder to write",
    )
    parser.add_argument(
        "--ema",
        action="store_true",
        help="read the weights that the file calls ema; not needed for files from MMEngine and "
        "MMCV, which store the moving average under the normal names",
    )
    group = parser.add_argument_group("only for MODEL FILE.pth (for NAME, the table gives them)")
    group.add_argument(
        "--size",
        metavar="HxW",
        help="input size (default: that of the weights if they have one, else that of the paper)",
    )
    group.add_argument(
        "--codec",
        choices=HEATMAP_CODECS,
        help="decoding by a quarter of a pixel (gaussian), or DARK or UDP (default: gaussian)",
    )
    group.add_argument(
        "--sigma",
        type=float,
        help="sigma of the Gaussian targets in training, in heatmap pixels (default: 2; for HRNet "
        "and Lite-HRNet at 384x288, use 3)",
    )
    group.add_argument(
        "--skeleton",
        metavar="NAME|FILE.json",
        type=os.path.expanduser,
        help="a dataset of `jaxpose weights`, e.g. coco, or a COCO annotation file (default: "
        "COCO, MPII or CrowdPose, by the number of keypoints)",
    )
    group.add_argument(
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="model option, e.g. hard_sigmoid=hard_sigmoid_v1; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Reads and converts the checkpoint and writes the run folder."""
    output = args.output.expanduser()
    file = args.fetched or args.file
    if is_weights(args.model):
        if file:
            raise ValueError(f"{args.model} is a file of weights: omit {file}")
        return import_weights(pathlib.Path(args.model).expanduser(), output)
    if args.fetched and args.file:
        raise ValueError(f"two files, {args.file} and {args.fetched}: give one of them")
    if args.model not in models.list_models():
        return import_checkpoint(_find(args), file, output, args)
    if args.table:
        raise ValueError(f"--table needs the name of a checkpoint, but {args.model} is a network")
    if file is None:
        own = [
            c.name
            for c in weights.load_table()
            if c.model == args.model and not c.refused and not c.part
        ]
        hint = f", or one of its checkpoints, e.g. {own[0]}" if own else ""
        raise ValueError(f"{args.model} is a network: give a file with its weights{hint}")
    return import_file(file, output, args)


def is_weights(name: str) -> bool:
    """Whether the first argument is a file of `jaxpose export --to weights`."""
    if not name.endswith(tensor_file.SUFFIX):
        return False
    from jaxpose import runs  # it imports orbax, which takes a second

    if not runs.is_weights_file(pathlib.Path(name).expanduser()):
        raise ValueError(
            f"{name}: not a file of `jaxpose export --to weights`; for others, give "
            "the network first: jaxpose import MODEL FILE"
        )
    return True


def import_weights(file: pathlib.Path, output: pathlib.Path) -> int:
    """Imports a file of `jaxpose export --to weights`."""
    from jaxpose import runs

    check_output(output)
    run = runs.read_run(file)
    write(output, run.config, run.skeleton, run.variables)
    return 0


def _find(args: argparse.Namespace) -> Checkpoint:
    try:
        return weights.find(args.model, weights.load_table(args.table))
    except ValueError:
        if args.file:
            models.info(args.model)  # raises, with the nearest network
        raise


def import_file(file: str, output: pathlib.Path, args: argparse.Namespace) -> int:
    """Imports any file with weights of the network `args.model`."""
    info = models.info(args.model)
    check_convertible(args.model)
    check_output(output)
    size = input_size(args.size, info)
    options = names.OPTIONS.get(args.model, {}) | dict(map(parse_option, args.option))
    state_dict = read_state_dict(file, ema=args.ema)
    own_size = input_size_of(args.model, given_arrays(args.model, state_dict))
    if args.size is None:
        size = own_size or size
    check_size(size, own_size, "--size")
    task = tasks.get(models.task_name(args.model))
    added = task.network_keypoints(0)  # keypoints of the network that no dataset has
    num_keypoints = count_keypoints(args.model, state_dict)
    skeleton = choose_skeleton(args.skeleton, num_keypoints - added)
    codec = args.codec or "gaussian"
    config = run_config(
        args.model, task, size, skeleton, options=options, codec=codec, sigma=args.sigma
    )
    variables = from_torch(args.model, state_dict, num_keypoints, **options)
    write(output, config, skeleton, variables)
    return 0


def import_checkpoint(
    checkpoint: Checkpoint, file: str | None, output: pathlib.Path, args: argparse.Namespace
) -> int:
    """Imports a checkpoint of a table, from `file` or by download."""
    given = next((o for o in _FOR_FILES if getattr(args, o) not in (None, [])), None)
    if given:
        raise ValueError(f"--{given} is only for MODEL FILE.pth; omit it for {checkpoint.name}")
    if checkpoint.refused:
        raise ValueError(f"{checkpoint.name} cannot be imported: {checkpoint.refused}")
    if checkpoint.part:
        raise ValueError(
            f"{checkpoint.name} has only a {checkpoint.part}: to train with it, "
            f"--config.init_from={checkpoint.name}"
        )
    name = checkpoint.model
    check_convertible(name)
    task = tasks.get(models.task_name(name))
    options = names.OPTIONS.get(name, {}) | dict(checkpoint.options)
    size = "x".join(map(str, checkpoint.input_size))
    input_size(size, models.info(name), f"{checkpoint.name}: input")

    def settings(skeleton: skeletons.Skeleton):
        # Without left-right pairs, the keypoints of a mirrored image cannot be exchanged.
        known = {} if checkpoint.skeleton else {"eval.flip": False}
        return run_config(
            name,
            task,
            checkpoint.input_size,
            skeleton,
            options=options,
            codec=checkpoint.codec,
            sigma=checkpoint.sigma,
            dataset=checkpoint.dataset,
            settings=known | dict(checkpoint.settings),
        )

    # Everything that can be checked is, before a long download.
    settings(checkpoint.skeleton or skeletons.COCO)
    check_output(output)
    if file is None:
        path = weights.fetch(checkpoint)
    else:
        path = weights.verify(_existing(file), checkpoint)

    state_dict = read_state_dict(path, ema=args.ema)
    if checkpoint.keep_keypoints:
        state_dict = keep_keypoints(name, state_dict, checkpoint.keep_keypoints)
    own_size = input_size_of(name, given_arrays(name, state_dict))
    check_size(checkpoint.input_size, own_size, f"{checkpoint.name}: input")
    num_keypoints = count_keypoints(name, state_dict)
    added = task.network_keypoints(0)
    skeleton = checkpoint.skeleton
    if skeleton is None:
        skeleton = public_skeletons.numbered(checkpoint.dataset, num_keypoints - added)
        print(
            f"the keypoints of {checkpoint.dataset} are unknown: they are numbered and have no "
            "left-right pairs, so the flip test is off"
        )
    elif skeleton.num_joints != num_keypoints - added:
        raise ValueError(
            f"{checkpoint.name}: the skeleton {skeleton.name} has "
            f"{quantity(skeleton.num_joints, 'keypoint')}, "
            f"but the file has {num_keypoints - added}"
        )
    task.check_skeleton(skeleton, checkpoint.name)
    variables = from_torch(name, state_dict, num_keypoints, **options)
    write(output, settings(skeleton), skeleton, variables)
    if checkpoint.scores:
        scores = ", ".join(f"{metric} {value:g}" for metric, value in checkpoint.scores.items())
        note = f" ({checkpoint.note})" if checkpoint.note else ""
        print(f"published: {scores}{note}")
    return 0


def _existing(file: str) -> pathlib.Path:
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path


def check_output(folder: pathlib.Path) -> None:
    """Raises CheckpointError if no run can be written into a folder: see `runs.write_run`."""
    from jaxpose.runs.arrays import FOLDER, CheckpointError, steps_in
    from jaxpose.runs.info import check_own

    first = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if first is not None and not first.is_dir():
        raise CheckpointError(f"{first} is a file, not a folder: choose another folder with -o")
    check_own(folder)
    if steps_in(folder / FOLDER):
        raise CheckpointError(f"{folder} already has checkpoints; choose another folder")


def write(
    output: pathlib.Path, config: Any, skeleton: skeletons.Skeleton, variables: dict[str, Any]
) -> None:
    """Writes the run folder and prints what it holds and how to evaluate it."""
    from jaxpose import runs  # it imports orbax, which takes a second

    runs.write_run(output, config, skeleton, variables)
    pixels = "x".join(map(str, config.input_size))
    keypoints = f"{quantity(skeleton.num_joints, 'keypoint')} ({skeleton.name})"
    print(f"{output}: {config.model}, {keypoints}, {pixels}")
    print(f"to use it: jaxpose predict {output} IMAGE... -o DIR")
    files = (
        ""
        if config.data.val_annotations
        else (" --config.data.val_annotations=FILE.json --config.data.val_images=FOLDER")
    )
    print(f"to evaluate it: python eval.py --workdir={output} --config.data.root=DATASET{files}")


def input_size(text: str | None, info: models.ModelInfo, where: str = "--size") -> tuple[int, int]:
    """(H, W) of "HxW", by default that of the paper; `where` it was given, for the message.

    Raises:
      ValueError: a size that the network does not support.
    """
    if text is None:
        return models.default_size(info.name)
    size, step = parse_size(text), tasks.get(models.task_name(info.name)).INPUT_STEP
    if any(side % step for side in size):
        near = "x".join(map(str, nearest_size(size, step)))
        raise ValueError(f"{where} {text} must be multiples of {step}; the nearest is {near}")
    return size


def check_size(size: tuple[int, int], own: tuple[int, int] | None, where: str) -> None:
    """Raises ValueError if weights that are bound to the size `own` shall be used with another."""
    if own not in (None, tuple(size)):
        given, needed = ("x".join(map(str, pixels)) for pixels in (size, own))
        raise ValueError(f"{where} {given}: the weights are of the input size {needed} alone")


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
        known_by_count = public_skeletons.by_count(num_keypoints)
        if known_by_count is None:
            table = public_skeletons.BY_DATASET.items()
            fitting = [name for name, known in table if known.num_joints == num_keypoints]
            raise ValueError(
                f"the weights have {quantity(num_keypoints, 'keypoint')}: name their dataset with "
                f"--skeleton ({', '.join(fitting) or 'a COCO annotation file'})"
            )
        skeleton = known_by_count
    elif choice.endswith(".json"):
        try:
            categories = read_json(choice)["categories"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{choice}: cannot read COCO categories ({error})") from None
        category = skeletons.category_with_joints(categories)
        if category is None:
            raise ValueError(f"{choice}: no category has keypoint names under 'keypoints'")
        skeleton = skeletons.from_coco_category(category)
    else:
        if choice not in public_skeletons.BY_DATASET:
            hint = choose_from(choice, public_skeletons.BY_DATASET)
            raise ValueError(f"unknown skeleton {choice!r}; {hint}")
        skeleton = public_skeletons.BY_DATASET[choice]
    if len(skeleton.joints) != num_keypoints:
        raise ValueError(
            f"skeleton {skeleton.name!r} has {quantity(len(skeleton.joints), 'keypoint')}, the "
            f"checkpoint {num_keypoints}"
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
