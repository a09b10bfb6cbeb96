"""Trains a pose network.

    python train.py --config=configs/hwl.py:coco,256x192 --workdir=runs/hwl \
        --config.data.root=/data/coco

After any interruption, run the same command again to resume. The run folder contains config.json,
checkpoints/, metrics.jsonl, timing.jsonl and tensorboard/. eval.py, `jaxpose predict` and
`jaxpose export` need nothing else.
"""

import time

from jaxpose.interrupts import report_interrupts

START = time.perf_counter()
if __name__ == "__main__":
    report_interrupts("train.py")  # also during the imports, which take seconds

import contextlib  # noqa: E402
import functools  # noqa: E402

import jax  # noqa: E402
from absl import app, flags  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

import input_pipeline  # noqa: E402
from jaxpose import hosts, ops, tasks  # noqa: E402
from jaxpose.annotations import left_out_lines, need_sides  # noqa: E402
from jaxpose.config import profiled_steps  # noqa: E402
from jaxpose.config.flags import define_config_file, define_path, parse_flags  # noqa: E402
from jaxpose.convert.sources import read_source  # noqa: E402
from jaxpose.files import Location, location  # noqa: E402
from jaxpose.mesh import make_mesh, replicate, shard_batch  # noqa: E402
from jaxpose.plan.utilization import peak_flops, step_flops  # noqa: E402
from jaxpose.skeletons import Skeleton  # noqa: E402
from jaxpose.training import (  # noqa: E402
    checkpoint,
    device_crops,
    device_pixels,
    initial,
    logs,
    out_of_memory,
    profiling,
    runtime,
    schedule,
    selection,
    stopping,
)
from jaxpose.training.setup import make_setup  # noqa: E402
from jaxpose.training.times import (  # noqa: E402
    Clock,
    Times,
    Work,
    device_memory,
    goodput,
    goodput_lines,
)
from jaxpose.wording import quantity  # noqa: E402

IMPORTED = time.perf_counter()

FLAGS = flags.FLAGS


def main(config: ConfigDict, workdir: str) -> int:
    """Trains a network and returns the exit status.

    Args:
      config: all settings (docs/settings.md).
      workdir: the run folder, local or gs://... or s3://...; an interrupted run resumes there.

    Raises:
      ValueError: an invalid setting, dataset or run folder (nothing was trained), or too many
        unusable images.
      out_of_memory.OutOfMemoryError: the step or the validation does not fit on the device.
      runtime.NonFiniteError: loss or gradient is not finite; the last good checkpoint is kept.
      checkpoint.SaveError: a checkpoint could not be written; earlier ones are complete.
    """
    # The other hosts hear of an error before the cleanup, which may wait for them.
    with contextlib.ExitStack() as cleanup, hosts.announced(), out_of_memory.explained(config):
        return _main(config, location(workdir), cleanup)


def _main(config: ConfigDict, folder: Location, cleanup: contextlib.ExitStack) -> int:
    if __name__ == "__main__":
        times = Times("import", START)
        times.begin("setup", at=IMPORTED)
    else:  # another program imported this file, perhaps long ago
        times = Times("setup")
    # ------------------------------------------------------------------ devices and compilation
    runtime.start(config, "train.py")
    console = logs.Console()
    cleanup.callback(console.end)
    log_line = console.line
    devices, host_count = jax.device_count(), jax.process_count()
    tasks.validate(config, devices=devices, hosts=host_count)
    task = tasks.get(config.task)
    ops.set_implementation(config.ops)
    compiled = logs.CompileCounter()
    mesh = make_mesh()
    log_line(
        f"{devices} x {jax.devices()[0].device_kind} on {host_count} host(s), jax {jax.__version__}"
    )

    # ------------------------------------------------------------------ data
    times.begin("data")
    shard = {"host_id": jax.process_index(), "host_count": host_count}
    if config.data.format == "generated" and host_count > 1:
        with hosts.first_host_first("data", config.distributed.timeout):
            input_pipeline.load_dataset(config, "train")  # host 0 writes the images
    train_data = input_pipeline.train_data(config, **shard, log=log_line)
    eval_data: input_pipeline.EvalData | None = None
    head_boxes = None
    if config.data.val_annotations or config.data.format == "generated":
        # As eval.py does, with the keypoints of the run: both compute the same score.
        eval_data = input_pipeline.eval_data(
            config, **shard, skeleton=train_data.skeleton, scored=True
        )
        head_boxes = runtime.head_boxes(config)
    for line in left_out_lines(train_data.dataset, eval_data.dataset if eval_data else None):
        log_line(line)
    skeleton, examples = train_data.skeleton, train_data.num_examples
    if eval_data is None:
        log_line("config.data.val_annotations is empty: no score will be shown")
    else:
        check_same_keypoints(skeleton, eval_data.skeleton)
        if config.eval.flip:
            need_sides(eval_data.dataset)
    total = schedule.total_steps(config.epochs, examples, config.batch_size)
    steps_per_epoch = examples / config.batch_size
    validated = eval_data.num_examples if eval_data else 0
    log_line(
        f"{examples} {task.COUNTS} to train, {validated} to validate, "
        f"{quantity(skeleton.num_joints, 'keypoint')} ({skeleton.name}); "
        f"{quantity(total, 'step')} of {config.batch_size} "
        f"= {config.epochs:g} epochs"
    )

    # ------------------------------------------------------------------ model, optimizer, state
    times.begin("setup")
    setup = make_setup(config, skeleton.num_joints, steps_per_epoch, total)
    model, objective, optimizer = setup.model, setup.objective, setup.optimizer
    shapes, size = setup.shapes, tuple(config.input_size)
    parameters = sum(x.size for x in jax.tree.leaves(shapes.params))
    log_line(f"{config.model}: {parameters:,} parameters, input {size}")
    for line in selection.describe(shapes.params, shapes.batch_stats, config):
        log_line(line)

    # ------------------------------------------------------------------ run folder: new or resumed
    facts = {"train_examples": examples, "total_steps": total}
    runtime.lock_run(folder, cleanup, config.distributed.timeout)
    runtime.open_run(folder, config, skeleton, facts)
    checkpoints = checkpoint.Checkpoints(folder, config.keep)
    cleanup.callback(checkpoints.close)
    with times.phase("restore"):
        restored, lines = checkpoints.restore(shapes, config.distributed.timeout)
    for line in lines:
        log_line(line)
    if restored is not None:
        first_state = restored
        log_line(f"resuming {folder} from step {int(restored.step)}")
    else:
        weights = read_source(config.init_from, config.task, config.model, shapes)
        first_state = initial.initial_state(
            config, skeleton, setup.create_state, optimizer, weights, log_line
        )
    start = int(first_state.step)
    runtime.compare_hosts(
        config,
        {"training": train_data, "validation": eval_data},
        {"detections": config.data.detections, "head boxes": head_boxes or ""},
        first_state,
        start,
    )
    train_state = replicate(first_state, mesh)
    log = logs.RunLog(folder, start) if jax.process_index() == 0 else logs.NoLog()
    cleanup.enter_context(log)

    # ------------------------------------------------------------------ the step, compiled once
    train_step = setup.make_step(mesh)
    predict = task.model_predictor(model, skeleton, mesh, task.decoder_from_config(config))

    crops = None
    if config.data.on_device:
        with times.phase("data"):
            crops = device_crops.DeviceCrops(train_data.pack(), size, mesh, log_line)
    augment_pixels = device_pixels.make_augment(mesh)

    def place(batch):
        keys = (*objective.inputs, *device_pixels.keys_of(batch))
        if crops is not None:
            return augment_pixels(crops.place(batch, keys))
        return augment_pixels(shard_batch({key: batch[key] for key in keys}, mesh))

    def report(done: int, metrics, batch) -> None:
        """Logs the metrics of a step; raises an error if they are not finite."""
        metrics = {key: value.item() for key, value in jax.device_get(metrics).items()}
        if not metrics.pop("finite"):
            checkpoints.wait()
            last_good = checkpoints.latest()
            raise runtime.NonFiniteError(
                runtime.write_bad_step(folder, done, metrics, batch, train_data.dataset, last_good)
            )
        logged = done % config.log_every == 0 or done == total
        if not logged and not console.due():
            return
        epoch = round(schedule.epoch_of(done, examples, config.batch_size), 6)
        values = {"epoch": epoch, **metrics}
        speed = clock.lap(done) if logged else clock.speed(done)
        speed |= {"bad_files": train_data.bad_files.count, **device_memory()}
        if logged:
            log.metrics(done, values)
            log.timing(done, speed)
        console.progress(logs.progress_line(done, total, values, speed))

    def validate(done: int, data: input_pipeline.EvalData) -> float:
        """Evaluates the current weights, or their moving average if enabled; returns the score."""
        evaluation = task.evaluate(
            functools.partial(predict, train_state.variables),
            data.batches(),
            data.dataset,
            config,
            head_boxes=head_boxes,
        )
        epoch = round(schedule.epoch_of(done, examples, config.batch_size), 6)
        log.metrics(
            done, {"epoch": epoch, **{f"eval/{k}": v for k, v in evaluation.metrics.items()}}
        )
        defined = {key: value for key, value in evaluation.metrics.items() if value != -1}
        scores = "  ".join(f"{key} {value:.4f}" for key, value in defined.items())
        log_line(f"step {done}: {scores}")
        return evaluation.score

    # ------------------------------------------------------------------ the loop
    eval_steps = config.eval_every * steps_per_epoch
    checkpoint_steps = config.checkpoint_every or steps_per_epoch
    times.begin("data")
    batches = train_data.batches(start_step=start)
    cleanup.callback(batches.close)
    times.begin("steps")
    steps = profiling.traced(
        range(start + 1, total + 1),
        profiled_steps(config.profile),
        folder / profiling.FOLDER,
        times,
        wait=lambda: jax.block_until_ready(train_state),
        log=console.line_of_host,
    )
    cleanup.callback(steps.close)
    done, pending = start, None
    with stopping.StopSignal(mesh) as stop:
        for done in steps:
            with times.phase("input"):
                batch = next(batches)
            placed = place(batch)
            if done == start + 1:
                with times.phase("compile"):
                    lowered = train_step.lower(train_state, placed)
                    compiled_step = lowered.compile()
                    peak = peak_flops(jax.devices()[0].device_kind)
                    flops = step_flops(lowered) if peak else None
                if peak and flops is None:
                    log_line("MFU is not logged: the FLOPs of the step cannot be counted")
                clock = Clock(times, start, total, Work(config.batch_size, devices, flops, peak))
            train_state, metrics = compiled_step(train_state, placed)
            if done == start + 1:
                jax.block_until_ready(metrics)
                seconds = times.seconds()
                parts = ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items())
                log_line(
                    f"first step after {times.wall():.1f} s: {parts}; {compiled.from_cache} "
                    "programs from the cache"
                )
                started = {"first_step_seconds": times.wall(), "compile": seconds["compile"]}
                log.timing(done, started)

            # Metrics are read one step late, while the device runs the next step.
            if pending is not None:
                report(*pending)
            pending = (done, metrics, batch)

            evaluate_now = eval_data is not None and schedule.due(done, eval_steps, total)
            stop_now = stop.requested()
            if evaluate_now or stop_now or schedule.due(done, checkpoint_steps, total):
                report(*pending)  # save only after this step is known to be finite
                pending, score = None, None
                if eval_data and evaluate_now:
                    try:
                        with (
                            times.phase("evaluate"),
                            out_of_memory.explained(config, training=False),
                        ):
                            score = validate(done, eval_data)
                    except Exception:
                        if host_count == 1:  # of several hosts, perhaps only this one saves
                            log_line(f"validation failed; step {done} is saved without a score")
                            log.sync()
                            checkpoints.save(train_state)
                            checkpoints.wait()
                        raise
                with times.phase("save"):
                    log.sync()
                    checkpoints.save(train_state, score)
            if stop_now:
                break

    # ------------------------------------------------------------------ the end
    with times.phase("save"):
        checkpoints.wait()  # reports a failed background save
    for line in train_data.bad_files.lines():
        console.line_of_host(line)
    for line in eval_data.bad_files.lines() if eval_data else ():
        console.line_of_host(f"validation: {line}")
    log_line(
        f"compiled {compiled.programs} programs in {compiled.seconds:.1f} s "
        f"({compiled.from_cache} from the cache); run folder {folder}"
    )
    spent = goodput(times)
    log.timing(done, spent)
    for line in goodput_lines(spent):
        log_line(line)
    if stop.signal:
        log_line(f"stopped by signal {stop.signal} after step {done}; run again to resume")
        return 128 + stop.signal
    return 0


def check_same_keypoints(train: Skeleton, val: Skeleton) -> None:
    """Checks that training and validation data have the same keypoints and left-right pairs.

    Raises:
      ValueError: they differ.
    """
    if train.joints != val.joints:
        raise ValueError(
            f"training and validation data have different keypoints: {', '.join(train.joints)} "
            f"and {', '.join(val.joints)}"
        )
    if train.flip_pairs != val.flip_pairs:
        raise ValueError(
            f"training and validation data have different left-right pairs: {train.flip_pairs} and "
            f"{val.flip_pairs}"
        )


def run(argv: list[str]) -> int:
    """Runs `main` with the flags; prints errors in one line and returns the exit status."""
    del argv
    return hosts.run_program(
        "train.py",
        lambda: main(FLAGS.config, FLAGS.workdir),
        [
            (runtime.NonFiniteError, 3),
            ((checkpoint.SaveError, OSError), 4),
            ((ValueError, ImportError), 2),
        ],
    )


if __name__ == "__main__":
    define_config_file("Recipe, e.g. configs/demo.py.")
    define_path(
        "workdir",
        "Run folder, local or gs://... or s3://...; an interrupted run resumes there.",
        remote=True,
    )
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(run, flags_parser=parse_flags)
