"""The settings of a recipe: flat by name, and on a command line, where a mistake is one line."""

import pathlib
import re
import runpy
import sys
from typing import Any, NoReturn

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from jaxpose.choices import did_you_mean, nearest

# What the parsers raise for a flag that cannot be, and a recipe for a variant that it lacks.
MISTAKES = (flags.Error, LookupError, TypeError, ValueError, AttributeError, OSError)
# Recipes lock themselves, so only `model_options` takes new keys, which have no type yet.
_FREE = {"lock_config": False, "accept_new_attributes": True}


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{"optimizer.learning_rate": 5e-4, ...}; model_options stays one entry."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict) and key != "model_options":
            flat |= {f"{key}.{inner}": item for inner, item in flatten(value).items()}
        else:
            flat[key] = value.to_dict() if isinstance(value, ConfigDict) else value
    return flat


def define_config_file(
    help_text: str, values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[ConfigDict]:
    """Defines --config=FILE.py[:VARIANT] and --config.key=value."""
    return config_flags.DEFINE_config_file("config", None, help_text, values, **_FREE)


def define_config_dict(config: ConfigDict, help_text: str) -> flags.FlagHolder[ConfigDict]:
    """Defines --config.key=value, which changes `config`."""
    return config_flags.DEFINE_config_dict("config", config, help_text, **_FREE)


def parse_flags(argv: list[str], base: ConfigDict | None = None) -> list[str]:
    """absl's parser, with one line and exit status 2 for unknown or ill-typed settings.

    Args:
        base: what --config.key=value changes where that is not the recipe of --config=FILE.
    """
    logging.set_verbosity(logging.WARNING)  # orbax tells each rename; --verbosity=0 shows it
    try:
        _check_recipe_is_there(argv)
        return flags.FLAGS(argv)
    except MISTAKES as error:
        refuse(argv, error, base)


def refuse(argv: list[str], error: Exception, base: ConfigDict | None = None) -> NoReturn:
    """Ends the program with one line about what is wrong with its arguments."""
    name = argv[0].rsplit("/", 1)[-1]
    text = str(error.args[0] if error.args else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A recipe that fails while it is read puts its own error last.
    print(f"{name}: {_unknown_setting(argv, base) or ''.join(lines[-1:]) or text}", file=sys.stderr)
    sys.exit(2)


def _unknown_setting(argv: list[str], base: ConfigDict | None) -> str | None:
    """One line about the first --config.key that the settings do not have."""
    try:
        config = base or _recipe(argv)
    except MISTAKES:  # the recipe cannot be read: that is the mistake to tell
        return None
    known = list(flatten(config)) if config else []
    for argument in argv[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]+)", argument)
        if known and match and match[1] not in known:
            key = match[1]
            if key.startswith("model_options."):
                continue
            # Compared whole and by its last part, so that a wrong group is found too.
            last = [k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
            near = nearest(key, known) or next(iter(last), None)
            hint = f"; did you mean --config.{near}?" if near else ""
            return f"--config.{key}: no such setting{hint}"
    return None


def _recipe(argv: list[str]) -> ConfigDict | None:
    """The settings of --config=FILE[:VARIANT] before any override; None without such a file."""
    path, variant = _named_recipe(argv)
    if path is None or not path.is_file():
        return None
    get_config = runpy.run_path(str(path))["get_config"]
    return get_config(variant) if variant else get_config()


def _check_recipe_is_there(argv: list[str]) -> None:
    # ml_collections would tell it only where the settings are first used.
    path, _ = _named_recipe(argv)
    if path is not None and not path.is_file():
        hint = did_you_mean(path, path.parent.glob("*.py"), before="; ")
        raise FileNotFoundError(f"--config={path}: no such file{hint}")


def _named_recipe(argv: list[str]) -> tuple[pathlib.Path | None, str]:
    """FILE and VARIANT of --config=FILE[:VARIANT]."""
    for argument in argv[1:]:
        key, _, value = argument.lstrip("-").partition("=")
        if key == "config" and value:
            path, _, variant = value.partition(":")
            return pathlib.Path(path), variant
    return None, ""
