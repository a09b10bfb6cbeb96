"""Evaluates a trained network or an exported file.

    python eval.py --workdir=runs/hwl                          the newest checkpoint of a run
    python eval.py --workdir=runs/hwl --step=best              its best checkpoint
    python eval.py --checkpoint=runs/hwl/checkpoints/20000     one checkpoint
    python eval.py --exported=hwl.onnx --workdir=runs/hwl      a file, on the data of that run
    python eval.py --exported=hwl.onnx --config=configs/hwl.py:coco,256x192 --config.data.root=DIR
    python eval.py --untrained --config=...                    random weights, for comparison

Settings come from the run's config.json; --config.key=value changes them, for example
--config.data.detections=boxes.json or --config.eval.decode=dark. The report folder contains
metrics.json, results.json (COCO results format) and index.html with drawings of the worst people
(bottom-up: of the worst images).
"""

import functools
import pathlib
import sys
import time

import jax
from absl import app, flags
from ml_collections import ConfigDict

import input_pipeline
from jaxpose import models, ops, runtimes, tasks
from jaxpose.annotations import left_out_lines, need_sides
from jaxpose.evaluation import command_line
from jaxpose.evaluation.report import make_report, write_report
from jaxpose.mesh import make_mesh, replicate
from jaxpose.skeletons import Skeleton
from jaxpose.training import runtime

FLAGS = flags.FLAGS


def main(config: ConfigDict, source: command_line.Source, folder: pathlib.Path, worst: int) -> int:
    """Evaluates a network and writes the report; returns the exit status.

    Args:
      config: all settings (docs/settings.md).
      source: what to evaluate.
      folder: folder of the report.
      worst: number of people (bottom-up: images) with the lowest similarity to draw.

    Raises:
      ValueError: the settings, the data or the weights are invalid.
    """
    # ------------------------------------------------------------------ devices
    runtime.start(config)
    hosts = jax.process_count()
    file = open_exported(source.exported, config) if source.exported else None
    tasks.validate(config, devices=jax.device_count(), hosts=hosts, training=False)
    task = tasks.get(config.task)
    ops.set_implementation(config.ops)

    # ------------------------------------------------------------------ data
    data = input_pipeline.eval_data(config, host_id=jax.process_index(), host_count=hosts)
    head_boxes = runtime.head_boxes(config)
    examples = f"{data.num_examples} {task.describe_examples(config)}"
    print(f"{examples} of {data.dataset.path}", flush=True)
    for line in left_out_lines(data.dataset):
        print(line, flush=True)

    # ------------------------------------------------------------------ network
    decoder = task.decoder_from_config(config)
    if file:
        check_keypoints(Skeleton.from_dict(file.metadata["skeleton"]), data.skeleton, source.name)
        predict = task.file_predictor(file.run, data.skeleton, decoder)
    else:
        # Built from `config`, since flags may change settings such as dtype.
        model = tasks.create_model(config, data.skeleton.num_joints)
        if source.run:
            check_keypoints(source.run.skeleton, data.skeleton, source.name)
            variables = source.run.variables
        else:
            variables = models.initial_variables(model, tuple(config.input_size), config.seed)
        mesh = make_mesh()
        step = task.model_predictor(model, data.skeleton, mesh, decoder)
        predict = functools.partial(step, replicate(variables, mesh))
    if config.eval.flip:
        need_sides(data.dataset)
    print(f"network: {source.name}", flush=True)

    # ------------------------------------------------------------------ scores
    start = time.perf_counter()
    evaluation = task.evaluate(predict, data.batches(), data.dataset, config, head_boxes=head_boxes)
    seconds = time.perf_counter() - start
    report = make_report(evaluation, data.dataset, task, config.eval.metric, worst)
    print(report.as_text())
    if data.bad_files.count:
        names = ", ".join(data.bad_files.names[:5])
        print(f"{data.bad_files.count} unusable images left out: {names}")

    # ------------------------------------------------------------------ report
    if jax.process_index() == 0:
        record = {
            "source": source.name,
            "bad_files": data.bad_files.names,
            "config": config.to_dict(),
        }
        title = f"{config.model} on {data.dataset.path.name}"
        write_report(folder, report, data.dataset, title=title, record=record)
    print(f"\n{examples} in {seconds:.1f} s; report {folder / 'index.html'}")
    return 0


def open_exported(path: str, config: ConfigDict) -> runtimes.ExportedFile:
    """Opens an exported file and adapts the settings to it, e.g. the input size.

    Raises:
      ValueError: the file is for another task than the settings.
    """
    file = runtimes.open_file(path)
    name = file.metadata["task"]
    if name != config.task:
        raise ValueError(
            f"{path} is for the task {name}, but the settings are for {config.task}: give the run "
            "or the recipe that the file was exported from"
        )
    line = tasks.get(name).fit_settings(config, file.metadata, path)
    if line:
        print(line, flush=True)
    return file


def check_keypoints(network: Skeleton, data: Skeleton, name: str) -> None:
    """Checks that network and data have the same keypoints.

    Raises:
      ValueError: they differ.
    """
    if network.joints != data.joints:
        raise ValueError(
            f"{name} has {network.num_joints} keypoints ({', '.join(network.joints)}), but the "
            f"dataset has {data.num_joints} ({', '.join(data.joints)})"
        )


def run(argv: list[str]) -> int:
    """Runs `main` with the flags; prints errors in one line and returns the exit status."""
    del argv
    try:
        source = command_line.find_source(FLAGS)
        folder = pathlib.Path(FLAGS.report) if FLAGS.report else source.folder / "report"
        if source.run:
            for line in command_line.keep_network(FLAGS, source.run.config):
                print(line, flush=True)
        return main(FLAGS.config, source, folder, FLAGS.worst)
    except (ValueError, ImportError, OSError) as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Run folder written by train.py.")
    flags.DEFINE_string("checkpoint", None, "One checkpoint, RUN/checkpoints/STEP.")
    flags.DEFINE_string("exported", None, "File written by `jaxpose export`, .onnx or .pt2.")
    flags.DEFINE_string("step", "last", "Checkpoint of the run: last, best or a step.")
    flags.DEFINE_string("report", None, "Folder of the report (default: report/ in the run).")
    flags.DEFINE_integer(
        "worst",
        10,
        "Number of people (bottom-up: images) with the lowest similarity to draw.",
        lower_bound=0,
    )
    flags.DEFINE_boolean("untrained", False, "Evaluate random weights, to see the chance level.")
    app.run(run, flags_parser=command_line.parse_eval_flags)
