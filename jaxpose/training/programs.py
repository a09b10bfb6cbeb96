"""Command lines of train.py and eval.py: flags whose mistakes are told in one line."""

import dataclasses
import difflib
import pathlib
import re
import runpy
import sys

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from jaxpose.training import checkpoint, run_info
from jaxpose.training import config as configuration

# Recipes lock themselves, so only `model_options` takes new keys, which have no type yet.
_FREE = {"lock_config": False, "accept_new_attributes": True}


def define_config_file(help_text: str) -> None:
    """Defines --config=FILE.py and --config.key=value."""
    config_flags.DEFINE_config_file("config", None, help_text, **_FREE)


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one line and exit status 2 for unknown or ill-typed settings."""
    logging.set_verbosity(logging.WARNING)  # orbax tells each rename; --verbosity=0 shows it
    try:
        return flags.FLAGS(argv)
    except _MISTAKES as error:
        _refuse(argv, error)


def parse_eval_flags(argv: list[str]) -> list[str]:
    """`parse_flags` where the settings come from --config=FILE or else from the run's folder."""
    values = flags.FLAGS
    try:
        values(argv, known_only=True)
        if any(arg.startswith(("--config=", "-config=")) for arg in argv):
            define_config_file("Recipe, in place of the run's own settings.")
        elif values.workdir or values.checkpoint:
            info = run_info.read_info(checkpoint.run_folder(values.workdir or values.checkpoint))
            config_flags.DEFINE_config_dict(
                "config", info.config, "Settings of the run; --config.key=value changes them.",
                **_FREE,
            )  # fmt: skip
        elif not values.exported:
            raise ValueError(
                "say what to evaluate: --workdir=DIR, --checkpoint=DIR or --exported=FILE"
            )
        else:
            raise ValueError(
                "--exported=FILE needs data to run on: --workdir=DIR of its run, or --config=RECIPE"
            )
    except _MISTAKES as error:
        _refuse(argv, error)
    return parse_flags(argv)


_MISTAKES = (flags.Error, LookupError, TypeError, ValueError, AttributeError, OSError)


def _refuse(argv: list[str], error: Exception) -> None:
    name = argv[0].rsplit("/", 1)[-1]
    text = str(error.args[0] if error.args else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A recipe that fails while it is read puts its own error last.
    print(f"{name}: {_unknown_setting(argv) or ''.join(lines[-1:]) or text}", file=sys.stderr)
    sys.exit(2)


def _unknown_setting(argv: list[str]) -> str | None:
    """One line about the first --config.key that the recipe or the run does not have."""
    try:
        config = _base_config(argv)
    except ValueError:  # no run there: that is the mistake to tell
        return None
    known = list(configuration.flatten(config)) if config else []
    for argument in argv[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]+)", argument)
        if known and match and match[1] not in known:
            key = match[1]
            if key.startswith("model_options."):
                continue
            # Compared whole and by its last part, so that a wrong group is found too.
            near = difflib.get_close_matches(key, known, n=1) or [
                k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]
            ]
            hint = f"; did you mean --config.{near[0]}?" if near else ""
            return f"--config.{key}: no such setting{hint}"
    return None


def _base_config(argv: list[str]) -> ConfigDict | None:
    """The settings before any override: those of --config=FILE, or of the run."""
    for argument in argv[1:]:
        key, _, value = argument.lstrip("-").partition("=")
        path, _, recipe_argument = value.partition(":")
        if key == "config" and pathlib.Path(path).is_file():
            get_config = runpy.run_path(path)["get_config"]
            return get_config(recipe_argument) if recipe_argument else get_config()
        if key in ("workdir", "checkpoint") and not any(a.startswith("--config=") for a in argv):
            return run_info.read_info(checkpoint.run_folder(value)).config
    return None


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
    run: checkpoint.Run | None = None
    exported: str | None = None


def find_source(values: flags.FlagValues) -> Source:
    """What the flags workdir, checkpoint, exported, step and untrained of eval.py name.

    Raises:
        ValueError: no such run, checkpoint or file, or a --step that is none.
    """
    named = values.workdir or values.checkpoint
    folder = checkpoint.run_folder(named) if named else pathlib.Path()
    if values.untrained:
        return Source("random weights", folder / "untrained")
    if values.exported:
        path = pathlib.Path(values.exported)
        if not path.is_file():
            raise ValueError(f"--exported={path}: no such file")
        return Source(str(path), path.with_name(f"{path.stem}_eval"), exported=str(path))
    if not named:
        raise ValueError("say what to evaluate: --workdir=DIR, --checkpoint=DIR or --exported=FILE")
    step = values.step
    if step not in ("last", "best") and not step.isdigit():
        raise ValueError(f"--step={step}: choose from last, best or the number of a step")
    step = {"last": None, "best": "best"}.get(step) or (int(step) if step.isdigit() else None)
    run = checkpoint.read_run(named, step=step)
    return Source(str(run.path), folder, run=run)
