"""Scores a trained network, or the file that was exported from one.

    python eval.py --workdir=runs/hwl                          the newest checkpoint of a run
    python eval.py --workdir=runs/hwl --step=best              its best one
    python eval.py --checkpoint=runs/hwl/checkpoints/20000
    python eval.py --exported=hwl.onnx --workdir=runs/hwl      the file, on the data of that run
    python eval.py --exported=hwl.onnx --config=configs/hwl.py:coco,256x192 --config.data.root=DIR
    python eval.py --untrained --config=...                    random weights, for comparison

Settings come from the run's config.json; --config.key=value changes them, for example
--config.data.detections=boxes.json or --config.eval.decode=dark. The report folder gets
metrics.json, results.json (COCO results form) and index.html with the worst people (bottom-up:
the worst images) drawn.
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
from jaxpose.evaluation import command_line
from jaxpose.evaluation.report import make_report, write_report
from jaxpose.mesh import make_mesh, replicate
from jaxpose.skeletons import Skeleton
from jaxpose.training import runtime

FLAGS = flags.FLAGS


def main(config: ConfigDict, source: command_line.Source, folder: pathlib.Path, worst: int) -> int:
    """Evaluates `source` as `config` says and writes the report into `folder`.

    Raises:
      ValueError: the settings, the data or the weights cannot be used.
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

    # ------------------------------------------------------------------ network
    decoder = task.decoder_from_config(config)
    if file:
        check_keypoints(Skeleton.from_dict(file.metadata["skeleton"]), data.skeleton, source.name)
        predict = task.file_predictor(file.run, data.skeleton, decoder)
    else:
        # From `config`: it may change what does not change the weights, such as dtype.
        model = tasks.create_model(config, data.skeleton.num_joints)
        if source.run:
            check_keypoints(source.run.skeleton, data.skeleton, source.name)
            variables = source.run.variables
        else:
            variables = models.initial_variables(model, tuple(config.input_size), config.seed)
        mesh = make_mesh()
        step = task.model_predictor(model, data.skeleton, mesh, decoder)
        predict = functools.partial(step, replicate(variables, mesh))
    print(f"network: {source.name}", flush=True)

    # ------------------------------------------------------------------ scores
    began = time.perf_counter()
    evaluation = task.evaluate(predict, data.batches(), data.dataset, config, head_boxes=head_boxes)
    seconds = time.perf_counter() - began
    report = make_report(evaluation, data.dataset, task, config.eval.metric, worst)
    print(report.as_text())
    if data.bad_files.count:
        names = ", ".join(data.bad_files.names[:5])
        print(f"{data.bad_files.count} images could not be used: {names}")

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
    """Opens an exported file and makes the settings evaluate it at its own input size."""
    file = runtimes.open_file(path)
    name = file.metadata["task"]
    if name != config.task:
        raise ValueError(
            f"{path} is a file of the task {name}, the settings are of {config.task}: give the run "
            "or the recipe that it comes from"
        )
    line = tasks.get(name).fit_settings(config, file.metadata, path)
    if line:
        print(line, flush=True)
    return file


def check_keypoints(network: Skeleton, data: Skeleton, name: str) -> None:
    """Raises ValueError unless the network's keypoints are those of the data."""
    if network.joints != data.joints:
        raise ValueError(
            f"{name} has {network.num_joints} keypoints ({', '.join(network.joints)}), the data "
            f"have {data.num_joints} ({', '.join(data.joints)})"
        )


def run(argv: list[str]) -> int:
    """Runs `main` with the flags; what a user can put right is one line and status 2."""
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
    flags.DEFINE_string("workdir", None, "Run folder of train.py.")
    flags.DEFINE_string("checkpoint", None, "One checkpoint, RUN/checkpoints/STEP.")
    flags.DEFINE_string("exported", None, "File of `jaxpose export`, .onnx or .pt2.")
    flags.DEFINE_string("step", "last", "Checkpoint of the run: last, best or a step.")
    flags.DEFINE_string("report", None, "Folder of the report (default: report/ in the run).")
    flags.DEFINE_integer(
        "worst", 10, "People (bottom-up: images) of lowest similarity to draw.", lower_bound=0
    )
    flags.DEFINE_boolean("untrained", False, "Random weights: what chance gives.")
    app.run(run, flags_parser=command_line.parse_eval_flags)
