"""Evaluates a trained network, an exported file or a results file.

    python eval.py --workdir=runs/hwl                          the newest checkpoint of a run
    python eval.py --workdir=runs/hwl --step=best              its best checkpoint
    python eval.py --checkpoint=runs/hwl/checkpoints/20000     one checkpoint
    python eval.py --exported=hwl.onnx --workdir=runs/hwl      an exported file, on the run's data:
                                                               any format that jaxpose writes
    python eval.py --exported=hwl.onnx --config=configs/hwl.py:coco,256x192 --config.data.root=DIR
    python eval.py --untrained --config=...                    random weights, for comparison
    python eval.py --results=results.json --config=...         COCO-format results of any program

Settings come from the run's config.json; --config.key=value changes them, for example
--config.data.detections=boxes.json or --config.eval.decode=dark. The report folder contains
metrics.json, results.json (COCO results format), analysis.json (kinds of errors) and index.html
with drawings of the worst people (bottom-up: of the worst images).

If the annotation file lists images without annotations, like COCO's image_info_test-dev2017.json,
the results are not scored; they are written as a submission for the server.
"""

from jaxpose.interrupts import report_interrupts

if __name__ == "__main__":
    report_interrupts("eval.py")  # also during the imports, which take seconds

import json  # noqa: E402
import pathlib  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import jax  # noqa: E402
from absl import app, flags  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

import input_pipeline  # noqa: E402
from jaxpose import hosts, ops, skeletons, tasks  # noqa: E402
from jaxpose.annotations import Dataset, left_out_lines, need_sides  # noqa: E402
from jaxpose.config.flags import define_path  # noqa: E402
from jaxpose.evaluation import command_line  # noqa: E402
from jaxpose.evaluation.network import make_predictor, open_exported, skeleton_of  # noqa: E402
from jaxpose.evaluation.report import Report, check_folder, make_report, write_report  # noqa: E402
from jaxpose.evaluation.results import score_results, submission_name  # noqa: E402
from jaxpose.files import Location, location, write_atomic  # noqa: E402
from jaxpose.runtimes import SUFFIXES  # noqa: E402
from jaxpose.tasks import whole_images  # noqa: E402
from jaxpose.training import out_of_memory, runtime  # noqa: E402
from jaxpose.wording import quantity

FLAGS = flags.FLAGS


def main(config: ConfigDict, source: command_line.Source, folder: Location, worst: int) -> int:
    """Evaluates a network and writes the report; returns the exit status.

    Args:
      config: all settings (docs/settings.md).
      source: what to evaluate.
      folder: folder of the report.
      worst: number of people (bottom-up: images) with the lowest similarity to draw.

    Raises:
      ValueError: the settings, the data or the weights are invalid.
    """
    if source.results:
        return score_file(config, source, folder, worst)

    # ------------------------------------------------------------------ devices
    host_count = jax.process_count()
    file = open_exported(source.exported, config) if source.exported else None
    tasks.validate(config, devices=jax.device_count(), hosts=host_count, training=False)
    task = tasks.get(config.task)
    ops.set_implementation(config.ops)

    # ------------------------------------------------------------------ data
    # The keypoints of the network, for an annotation file without keypoint names.
    skeleton = skeleton_of(source, file) or skeletons.COCO
    with hosts.first_host_first("data", config.distributed.timeout):  # it may write generated data
        data = input_pipeline.eval_data(
            config, host_id=jax.process_index(), host_count=host_count, skeleton=skeleton
        )
    scored = data.dataset.format != "image_info"
    head_boxes = runtime.head_boxes(config) if scored else None
    inputs = [] if head_boxes is None else [head_boxes]
    if source.exported:
        inputs.append(pathlib.Path(source.exported))
    if config.data.detections:
        inputs.append(pathlib.Path(config.data.root) / config.data.detections)
    check_folder(folder, data.dataset, inputs)
    examples = f"{data.num_examples} {task.describe_examples(config)}"
    show(f"{examples} of {data.dataset.path}")
    for line in left_out_lines(data.dataset):
        show(line)

    # ------------------------------------------------------------------ network
    weights = source.run.variables if source.run else {}
    files = {
        "--exported": pathlib.Path(source.exported).absolute() if source.exported else "",
        "detections": config.data.detections,
        "head boxes": head_boxes or "",
    }
    # Before JAX copies the weights to all devices, which fails if they differ.
    runtime.compare_hosts(config, {"validation": data}, files, weights)
    predict = make_predictor(source, file, config, data.skeleton)
    if config.eval.flip:
        need_sides(data.dataset)
    show(f"network: {source.name}")

    # ------------------------------------------------------------------ results without scores
    start = time.perf_counter()
    if not scored:
        results = task.predict_results(predict, data.batches(), data.dataset, config)
        for line in data.bad_files.lines():
            print(line, flush=True)  # of each host
        path = folder / submission_name(data.dataset.path)
        if jax.process_index() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(results))
        images = len({result["image_id"] for result in results})
        show(
            f"\n{quantity(len(results), 'person', 'people')} in {images} of "
            f"{quantity(len(data.dataset.images), 'image')}; no scores: "
            f"{data.dataset.path.name} has no annotations\n{examples} in "
            f"{time.perf_counter() - start:.1f} s; submission {path}"
        )
        return 0

    # ------------------------------------------------------------------ scores
    evaluation = task.evaluate(predict, data.batches(), data.dataset, config, head_boxes=head_boxes)
    seconds = time.perf_counter() - start
    record = {"source": source.name, "bad_files": data.bad_files.names}
    report = make_report(evaluation, data.dataset, task, config.eval.metric, worst)
    publish(report, data.dataset, config, folder, record)
    for line in data.bad_files.lines():
        print(line, flush=True)  # of each host
    show(f"\n{examples} in {seconds:.1f} s; report {folder / 'index.html'}")
    return 0


def score_file(
    config: ConfigDict, source: command_line.Source, folder: Location, worst: int
) -> int:
    """Scores a results file and writes the report, as `main` does for a network."""
    assert source.results
    tasks.validate(config, devices=1, training=False)
    dataset = input_pipeline.load_dataset(config, "val", images=False)
    check_folder(folder, dataset, [pathlib.Path(source.results)])
    show(f"results: {source.name}")
    if source.skeleton:
        dataset = input_pipeline.complete(dataset, source.skeleton)
    for line in left_out_lines(dataset):
        show(line)
    evaluation = score_results(source.results, dataset, config.eval.metric, config.eval.area)
    # A results file gives only people and images, not the boxes that its network used.
    report = make_report(evaluation, dataset, whole_images, config.eval.metric, worst)
    publish(report, dataset, config, folder, {"source": source.name})
    show(f"\nreport {folder / 'index.html'}")
    return 0


def publish(
    report: Report,
    dataset: Dataset,
    config: ConfigDict,
    folder: Location,
    record: dict[str, Any],
) -> None:
    """Prints the tables and writes the folder of the report."""
    show(report.as_text())
    if jax.process_index() == 0:
        title = f"{config.model} on {dataset.path.name}"
        record = record | {"config": config.to_dict()}
        for line in write_report(folder, report, dataset, title=title, record=record):
            show(line)


def show(text: str) -> None:
    """Prints on the first host only."""
    if jax.process_index() == 0:
        print(text, flush=True)


def run(argv: list[str]) -> int:
    """Runs `main` with the flags; prints errors in one line and returns the exit status."""
    del argv
    return hosts.run_program("eval.py", evaluate, [((ValueError, ImportError, OSError), 2)])


def evaluate() -> int:
    """Connects the hosts and runs `main` with the flags.

    Raises:
      ValueError: as `main`, or the network does not fit on the device.
    """
    if not FLAGS.results:
        runtime.start(FLAGS.config, "eval.py")  # before the weights are read, which uses devices
    source = command_line.find_source(FLAGS)
    folder = location(FLAGS.report) if FLAGS.report else source.folder / "report"
    if source.run:
        for line in command_line.keep_network(FLAGS, source.run.config):
            show(line)
    with out_of_memory.explained(FLAGS.config, training=False):
        return main(FLAGS.config, source, folder, FLAGS.worst)


if __name__ == "__main__":
    define_path(
        "workdir", "Run folder written by train.py or `jaxpose import`; may be a URL.", remote=True
    )
    define_path("checkpoint", "One checkpoint, RUN/checkpoints/STEP; may be a URL.", remote=True)
    define_path("exported", f"File written by `jaxpose export`: {', '.join(SUFFIXES.values())}.")
    define_path("results", "Results of any program to score, in COCO's results format.")
    flags.DEFINE_string("step", "last", "Checkpoint of the run: last, best or a step.")
    define_path(
        "report",
        "Folder of the report (default: report/ in the run, or in FILE_eval/ next to an exported "
        "file or a results file); may be a URL.",
        remote=True,
    )
    flags.DEFINE_integer(
        "worst",
        10,
        "Number of people (bottom-up: images) with the lowest similarity to draw.",
        lower_bound=0,
    )
    flags.DEFINE_boolean("untrained", False, "Evaluate random weights, to see the chance level.")
    app.run(run, flags_parser=command_line.parse_eval_flags)
