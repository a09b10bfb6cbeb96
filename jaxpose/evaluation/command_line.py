"""The command line of eval.py: what to evaluate, and with which settings."""

import dataclasses
import pathlib

from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxpose import runs
from jaxpose.config import reset
from jaxpose.config.flags import (
    MISTAKES,
    define_config_dict,
    define_config_file,
    parse_flags,
    refuse,
)
from jaxpose.files import Location
from jaxpose.skeletons import Skeleton


def parse_eval_flags(argv: list[str]) -> list[str]:
    """Parses the flags; settings come from --config=FILE or else from the run folder."""
    values, config = flags.FLAGS, None
    try:
        values(argv, known_only=True)
        check_sources(values)
        if any(arg.startswith(("--config=", "-config=")) for arg in argv):
            define_config_file("Recipe, instead of the run's settings.")
        elif values.workdir or values.checkpoint:
            folder = runs.run_folder(values.workdir or values.checkpoint)
            config = runs.read_info(folder).config
            reset(config, "distributed")  # the hosts of the training are not those of this program
            define_config_dict(config, "Settings of the run; --config.key=value changes them.")
        else:
            flag = "--exported=FILE needs" if values.exported else "--untrained needs a network and"
            flag = "--results=FILE needs" if values.results else flag
            raise ValueError(f"{flag} data: give --workdir=DIR of a run, or --config=RECIPE")
    except MISTAKES as error:
        refuse(argv, error, config)
    return parse_flags(argv, config)


def check_sources(values: flags.FlagValues) -> None:
    """Checks that the flags of eval.py name exactly one network to evaluate.

    `runs.read_run` checks --step against the step of --checkpoint.

    Raises:
      ValueError: no network, two networks, or --step without a run.
    """
    names = ("workdir", "checkpoint", "exported", "untrained", "results")
    if not any(values[name].value for name in names):
        raise ValueError(
            "nothing to evaluate: give --workdir=DIR, --checkpoint=DIR, --exported=FILE or "
            "--results=FILE"
        )
    exclusive = (
        ("workdir", "checkpoint"),
        ("untrained", "exported"),
        ("untrained", "results"),
        ("exported", "results"),
    )
    for one, other in exclusive:
        if values[one].value and values[other].value:
            raise ValueError(f"--{one} and --{other} cannot be combined: give one of them")
    if runs.parse_step(values.step) is not None:
        for name in ("untrained", "exported", "results"):
            if values[name].value:
                raise ValueError(
                    f"--{name} cannot be combined with --step={values.step}, which selects a "
                    "checkpoint of a run"
                )


def keep_network(values: flags.FlagValues, run: ConfigDict) -> list[str]:
    """Sets model options, codec and sigma to those of the run; returns a log line per change.

    A recipe describes the data and the evaluation. The options of the network are those of the run,
    except where --config.model_options.KEY=VALUE is given, and so is sigma, which DARK decodes
    with, except where --config.sigma is given. The codec is always that of the run.

    Raises:
      ValueError: the recipe is for another model, or --config.codec is not that of the run.
    """
    config, overrides = values.config, config_flags.get_override_values(values["config"])
    if config.model != run.model:
        raise ValueError(f"the run's model is {run.model}, but the settings are for {config.model}")
    lines = []
    for key in sorted({*config.model_options, *run.model_options}):
        in_recipe, in_run = config.model_options.get(key), run.model_options.get(key)
        if in_recipe != in_run and f"model_options.{key}" not in overrides:
            lines.append(
                f"model_options.{key}={in_run} from the run, not {in_recipe} of the recipe"
            )
            with config.unlocked():
                if key in run.model_options:
                    config.model_options[key] = in_run
                else:
                    del config.model_options[key]
    # Only tasks on crops have a codec.
    if "codec" in run and "codec" in config and config.codec != run.codec:
        if "codec" in overrides:
            raise ValueError(
                f"the run was trained with the codec {run.codec}: omit "
                f"--config.codec={config.codec}"
            )
        lines.append(f"codec={run.codec} as in the run (the recipe has {config.codec})")
        config.codec = run.codec
    if "sigma" in run and "sigma" in config and config.sigma != run.sigma:
        if "sigma" not in overrides:
            lines.append(f"sigma={run.sigma:g} as in the run (the recipe has {config.sigma:g})")
            config.sigma = run.sigma
    return lines


@dataclasses.dataclass(frozen=True)
class Source:
    """What eval.py evaluates: the weights of a run, a file, or random weights.

    Attributes:
      name: text for messages.
      folder: default folder of the report.
      run: the run, or None.
      exported: path of the exported file, or None.
      results: path of a results file, or None; without `run`, `exported` and `results`, random
        weights.
      skeleton: with `results`, that of the run whose settings are used, or None.
    """

    name: str
    folder: Location
    run: runs.Run | None = None
    exported: str | None = None
    results: str | None = None
    skeleton: Skeleton | None = None


def find_source(values: flags.FlagValues) -> Source:
    """Returns what the flags workdir, checkpoint, exported, results, step and untrained select.

    Raises:
      ValueError: no such run, checkpoint or file, or an invalid --step.
    """
    named = values.workdir or values.checkpoint
    folder: Location = runs.run_folder(named) if named else pathlib.Path()
    if values.untrained:
        return Source("random weights", folder / "untrained")
    if values.exported:
        path = _existing("exported", values.exported)  # a folder for Core ML
        return Source(str(path), _folder_of(path), exported=values.exported)
    if values.results:
        path = _existing("results", values.results, folder=False)
        skeleton = runs.read_info(folder).skeleton if named else None
        return Source(str(path), _folder_of(path), results=values.results, skeleton=skeleton)
    run = runs.read_run(named, step=runs.parse_step(values.step))
    return Source(str(run.path), folder, run=run)


def _existing(flag: str, name: str, *, folder: bool = True) -> pathlib.Path:
    """The path of a flag, which may be a folder only with `folder`."""
    path = pathlib.Path(name)
    if not (path.is_file() or (folder and path.is_dir())):
        raise ValueError(f"--{flag}={path}: no such file")
    return path


def _folder_of(path: pathlib.Path) -> pathlib.Path:
    """The default folder of the report on a file."""
    return path.with_name(f"{path.stem}_eval")
