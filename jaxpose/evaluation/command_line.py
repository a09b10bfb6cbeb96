"""The command line of eval.py: what it scores, and with which settings."""

import dataclasses
import pathlib

from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxpose import runs
from jaxpose.config.flags import (
    MISTAKES,
    define_config_dict,
    define_config_file,
    parse_flags,
    refuse,
)


def parse_eval_flags(argv: list[str]) -> list[str]:
    """`parse_flags`, of the settings of --config=FILE or else of the run's folder."""
    values, config = flags.FLAGS, None
    try:
        values(argv, known_only=True)
        check_sources(values)
        if any(arg.startswith(("--config=", "-config=")) for arg in argv):
            define_config_file("Recipe, in place of the run's own settings.")
        elif values.workdir or values.checkpoint:
            folder = runs.run_folder(values.workdir or values.checkpoint)
            config = runs.read_info(folder).config
            if "data" not in config:
                raise ValueError(
                    f"{folder} was imported and names no data: give --config=RECIPE, one of "
                    f"{config.model}"
                )
            define_config_dict(config, "Settings of the run; --config.key=value changes them.")
        else:
            what = "--exported=FILE needs" if values.exported else "--untrained needs a network and"
            raise ValueError(f"{what} data: --workdir=DIR of a run, or --config=RECIPE")
    except MISTAKES as error:
        refuse(argv, error, config)
    return parse_flags(argv, config)


def check_sources(values: flags.FlagValues) -> None:
    """Raises ValueError unless the flags of eval.py name one thing to score.

    A --step must be one of a run; `runs.read_run` refuses another than that of one checkpoint.
    """
    if not (values.workdir or values.checkpoint or values.exported or values.untrained):
        raise ValueError("say what to evaluate: --workdir=DIR, --checkpoint=DIR or --exported=FILE")
    for one, other in (("workdir", "checkpoint"), ("untrained", "exported")):
        if values[one].value and values[other].value:
            raise ValueError(f"--{one} and --{other} name two things to evaluate: give one of them")
    if runs.parse_step(values.step) is not None:
        for name in ("untrained", "exported"):
            if values[name].value:
                raise ValueError(
                    f"--{name} takes no --step: --step={values.step} names a checkpoint of a run"
                )


def keep_network(values: flags.FlagValues, run: ConfigDict) -> list[str]:
    """Gives the recipe that a run is scored with the run's own network; returns what to say of it.

    A recipe says where the data are and how to score. The switches of the network are the run's,
    except those that --config.model_options.KEY=VALUE names.

    Raises:
      ValueError: the recipe is for another model.
    """
    config, told = values.config, config_flags.get_override_values(values["config"])
    if config.model != run.model:
        raise ValueError(f"the run is of {run.model}, the settings are for {config.model}")
    lines = []
    for key in sorted({*config.model_options, *run.model_options}):
        ours, theirs = config.model_options.get(key), run.model_options.get(key)
        if ours != theirs and f"model_options.{key}" not in told:
            lines.append(f"model_options.{key}={theirs} as in the run, not {ours} of the recipe")
            with config.unlocked():
                if key in run.model_options:
                    config.model_options[key] = theirs
                else:
                    del config.model_options[key]
    return lines


@dataclasses.dataclass(frozen=True)
class Source:
    """What eval.py scores: the weights of a run, an exported file, or (neither) random weights.

    `folder` is where the report goes unless told otherwise.
    """

    name: str
    folder: pathlib.Path
    run: runs.Run | None = None
    exported: str | None = None


def find_source(values: flags.FlagValues) -> Source:
    """What the flags workdir, checkpoint, exported, step and untrained of eval.py name.

    Raises:
      ValueError: no such run, checkpoint or file, or a --step that is none.
    """
    named = values.workdir or values.checkpoint
    folder = runs.run_folder(named) if named else pathlib.Path()
    if values.untrained:
        return Source("random weights", folder / "untrained")
    if values.exported:
        path = pathlib.Path(values.exported)
        if not path.is_file():
            raise ValueError(f"--exported={path}: no such file")
        return Source(str(path), path.with_name(f"{path.stem}_eval"), exported=str(path))
    run = runs.read_run(named, step=runs.parse_step(values.step))
    return Source(str(run.path), folder, run=run)
