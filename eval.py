"""Scores a trained network, or the file that was exported from one.

    python eval.py --workdir=runs/hwl                          the newest checkpoint of a run
    python eval.py --workdir=runs/hwl --step=best              its best one
    python eval.py --checkpoint=runs/hwl/checkpoints/20000
    python eval.py --exported=hwl.onnx --workdir=runs/hwl      the file, on the data of that run
    python eval.py --exported=hwl.onnx --config=configs/hwl.py:coco,256x192 --config.data.root=DIR
    python eval.py --untrained --config=...                    random weights, for comparison

Settings come from the run's config.json; --config.key=value changes them, for example
--config.data.detections=boxes.json or --config.eval.decode=dark. The report folder gets
metrics.json, results.json (COCO results form) and index.html with the worst people (bottom-up: the
worst pictures) drawn.
"""

import functools
import pathlib
import sys
import time

import jax
from absl import app, flags
from ml_collections import ConfigDict

import input_pipeline
from jaxpose import evaluation, mesh, models, ops, tasks
from jaxpose.evaluation import command_line
from jaxpose.evaluation import report as reports
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
    told = read_exported(source, config) if source.exported else None
    tasks.validate(config, devices=jax.device_count(), hosts=hosts, training=False)
    ops.set_implementation(config.ops)

    # ------------------------------------------------------------------ data
    data = input_pipeline.eval_data(config, host_id=jax.process_index(), host_count=hosts)
    head_boxes = runtime.head_boxes(config)
    noun = "pictures"
    if config.task == "topdown":
        noun = "detected boxes" if config.data.detections else "annotated boxes"
    print(f"{data.num_examples} {noun} of {data.dataset.path}", flush=True)

    # ------------------------------------------------------------------ network
    if told:
        check_joints(Skeleton.from_dict(told["skeleton"]), data.skeleton, source.name)
        from jaxpose import export

        run_file = export.run_file(source.exported)
        predict = evaluation.make_predictor_from_file(run_file, data.skeleton, config)
    else:
        # From `config`: it may change what does not change the weights, such as dtype.
        model = tasks.create_model(config, data.skeleton.num_joints)
        if source.run:
            check_joints(source.run.skeleton, data.skeleton, source.name)
            weights = source.run.variables
        else:
            weights = models.initial_variables(model, tuple(config.input_size), config.seed)
        grid = mesh.make_mesh()
        weights = mesh.replicate(weights, grid)
        step = evaluation.make_predictor(model, data.skeleton, grid, config)
        predict = functools.partial(step, weights)
    print(f"network: {source.name}", flush=True)

    # ------------------------------------------------------------------ scores
    began = time.perf_counter()
    found = evaluation.evaluate(
        predict, data.batches(), data.dataset, config, head_boxes=head_boxes
    )
    seconds = time.perf_counter() - began
    report = reports.make_report(found, data.dataset, config, worst)
    print("\n".join(found.notes))
    print(reports.as_text(report.scores))
    if report.joints:
        print(f"\n{reports.as_text(report.joints)}")
    if data.bad_files.count:
        names = ", ".join(data.bad_files.names[:5])
        print(f"{data.bad_files.count} pictures could not be used: {names}")

    # ------------------------------------------------------------------ report
    if jax.process_index() == 0:
        settings = {
            "source": source.name,
            "bad_files": data.bad_files.names,
            "config": config.to_dict(),
        }
        title = f"{config.model} on {data.dataset.path.name}"
        reports.write(folder, report, data.dataset, title=title, settings=settings)
    print(f"\n{data.num_examples} {noun} in {seconds:.1f} s; report {folder / 'index.html'}")
    return 0


def read_exported(source: command_line.Source, config: ConfigDict) -> dict:
    """What an exported file says of itself, after checking that it fits the settings.

    A bottom-up file takes whole pictures of its own size: `config` is set to that.
    """
    from jaxpose import export

    told = export.read_metadata(source.exported)
    if told["task"] != config.task:
        raise ValueError(
            f"{source.exported} is {told['task']}, the settings are {config.task}: "
            "give the run or the recipe it comes from"
        )
    size = tuple(told["input_size"])
    if config.task != "topdown":
        if len(config.eval.scales) > 1:
            raise ValueError(
                f"{source.exported} takes one size, config.eval.scales={config.eval.scales} are "
                'more: give --config.eval.scales="(1.0,)"'
            )
        config.input_size, config.eval.sizing = size, "fixed"
        print(f"pictures of {size} pixels, as {source.exported} takes them", flush=True)
    elif size != tuple(config.input_size):
        raise ValueError(
            f"{source.exported} takes {size} pixels, config.input_size is "
            f"{tuple(config.input_size)}: give --config.input_size='{size}'"
        )
    return told


def check_joints(ours: Skeleton, data: Skeleton, name: str) -> None:
    """Raises ValueError unless the network's joints are those of the data."""
    if ours.joints != data.joints:
        raise ValueError(
            f"{name} has {ours.num_joints} joints ({', '.join(ours.joints)}), the data have "
            f"{data.num_joints} ({', '.join(data.joints)})"
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
    flags.DEFINE_integer("worst", 10, "Worst people (pictures) to draw.", lower_bound=0)
    flags.DEFINE_boolean("untrained", False, "Random weights: what chance gives.")
    app.run(run, flags_parser=command_line.parse_eval_flags)
