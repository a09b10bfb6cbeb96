"""Settings on a command line: --config=RECIPE and --config.key=value, with one-line errors."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from jaxpose.choices import nearest
from jaxpose.config.recipe import check_recipe, load_recipe
from jaxpose.config.tree import flatten
from jaxpose.files import expand, location

# Raised by the parsers for invalid flags, and by recipes for unknown variants.
MISTAKES = (flags.Error, LookupError, TypeError, ValueError, AttributeError, OSError)
# Recipes are locked already; only `model_options` takes new keys, which have no type yet.
_OPEN = {"lock_config": False, "accept_new_attributes": True}
_OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]+)")
_RENAMED = {"paradigm": "task"}  # since version 0.1


def define_config_file(
    help_text: str, values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[ConfigDict]:
    """Defines --config=FILE.py[:VARIANT] and --config.key=value."""
    return config_flags.DEFINE_config_file("config", None, help_text, values, **_OPEN)


def define_config_dict(config: ConfigDict, help_text: str) -> flags.FlagHolder[ConfigDict]:
    """Defines --config.key=value, which changes `config`."""
    return config_flags.DEFINE_config_dict("config", config, help_text, **_OPEN)


class _Path(flags.ArgumentParser):
    """A file or folder, where `~` is the home folder; a URL only with `remote`."""

    syntactic_help = "a path"

    def __init__(self, remote: bool):
        self._remote = remote

    def parse(self, argument: str) -> str:
        if not argument.strip():
            raise ValueError("the path is empty; give a path, or omit the flag")
        return str(location(argument) if self._remote else expand(argument))


def define_path(
    name: str, help_text: str, values: flags.FlagValues = flags.FLAGS, *, remote: bool = False
) -> flags.FlagHolder[str | None]:
    """Defines --NAME=PATH without a default; `~` is expanded, and an empty path is an error.

    Args:
      name: the flag.
      help_text: for --help.
      values: the flags that are defined.
      remote: whether the path may be a URL (run folders and reports).
    """
    return flags.DEFINE(
        _Path(remote),
        name,
        None,
        help_text,
        values,
        serializer=flags.ArgumentSerializer(),
        module_name=sys.argv[0],  # of the program, so that its --help lists the flag
    )


def read_settings(program: str, recipe: str, overrides: list[str]) -> ConfigDict:
    """The settings of a recipe with changes; mistakes end the program as in `parse_flags`.

    Args:
      program: name of the program, for error messages.
      recipe: FILE[:VARIANT].
      overrides: arguments of the form --config.key=value.
    """
    values = flags.FlagValues()
    argv = [program, f"--config={recipe}", *overrides]
    before = sys.argv
    sys.argv = argv  # where ml_collections looks for the changes
    try:
        define_config_file("Recipe.", values)
        surplus = parse_flags(argv, values=values)[1:]
        if surplus:
            refuse(argv, ValueError(f"unrecognized arguments: {' '.join(surplus)}"))
        return values.config
    finally:
        sys.argv = before


def parse_flags(
    argv: list[str],
    base: ConfigDict | None = None,
    *,
    values: flags.FlagValues | None = None,
) -> list[str]:
    """Parses the flags; invalid ones end the program with one line and exit status 2.

    If a setting is given several times, the last value counts.

    Args:
      argv: name of the program and its arguments.
      base: the settings that --config.key=value changes; None for those of --config=FILE.
      values: the flags; None for those of absl, `flags.FLAGS`.

    Returns:
      The name of the program and the arguments that are not flags.
    """
    logging.set_verbosity(logging.WARNING)  # orbax logs every rename; --verbosity=0 shows them
    try:
        if any(argument.lstrip("-") == "config=" for argument in argv[1:]):
            raise ValueError("--config= is empty: give a recipe, e.g. --config=configs/demo.py")
        if recipe := _named_recipe(argv):
            # ml_collections would report a missing file only when the settings are first used.
            check_recipe(recipe, "--config=")
        defined = flags.FLAGS if values is None else values
        return defined([_expand_recipe(word) for word in last_overrides(argv)])
    except MISTAKES as error:
        refuse(argv, error, base)


def refuse(argv: list[str], error: Exception, base: ConfigDict | None = None) -> NoReturn:
    """Ends the program with one line that says what is wrong with its arguments."""
    name = argv[0].rsplit("/", 1)[-1]
    text = str(error.args[0] if error.args else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    known = _empty_value(argv, base) or _unknown_setting(argv, base)
    # If a recipe fails while it is read, its own error is the last line.
    print(f"{name}: {known or ''.join(lines[-1:]) or text}", file=sys.stderr)
    sys.exit(2)


def _expand_recipe(word: str) -> str:
    """--config=~/FILE, which shells leave as it is, with the home folder."""
    option, equals, recipe = word.partition("=")
    if option.lstrip("-") == "config" and recipe.startswith("~"):
        return f"{option}{equals}{expand(recipe)}"
    return word


def last_overrides(argv: list[str]) -> list[str]:
    """`argv` without each --config.key=value that is followed by one of the same key.

    absl takes the last value too, but ml_collections joins all values of a tuple.
    """
    kept: list[tuple[str | None, list[str]]] = []  # key of an override, its arguments
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        match = _OVERRIDE.match(argument)
        if argument == "--":
            kept.append((None, [argument, *rest]))
            break
        words = [argument]
        if match:
            kept = [item for item in kept if item[0] != match[1]]
            # --config.key VALUE, where VALUE may be a negative number.
            if "=" not in argument and rest and not re.match(r"--?[A-Za-z]|--$", rest[0]):
                words.append(rest.pop(0))
        kept.append((match[1] if match else None, words))
    return [word for _, words in kept for word in words]


def _settings(argv: list[str], base: ConfigDict | None) -> dict[str, Any]:
    """The settings that the flags change; empty where they cannot be read."""
    recipe = _named_recipe(argv)
    try:
        config = base or (load_recipe(recipe) if recipe else None)
    except MISTAKES:  # `refuse` reports the mistake in the recipe itself
        return {}
    return flatten(config) if config else {}


def _empty_value(argv: list[str], base: ConfigDict | None) -> str | None:
    """An error message for the first --config.key= that needs a value, or None."""
    values = _settings(argv, base)
    for argument in argv[1:]:
        key = argument.lstrip("-").removeprefix("config.").removesuffix("=")
        if argument.endswith("=") and not isinstance(values.get(key, ""), str):
            return f"--config.{key}= is empty: give a value, e.g. --config.{key}={values[key]}"
    return None


def _unknown_setting(argv: list[str], base: ConfigDict | None) -> str | None:
    """An error message for the first unknown --config.key, or None."""
    known = list(_settings(argv, base))
    for argument in argv[1:]:
        match = _OVERRIDE.match(argument)
        key = match[1] if match else ""
        if not known or not key or key in known or key.startswith("model_options."):
            continue
        if key in _RENAMED:
            return f"--config.{key}: renamed to --config.{_RENAMED[key]}"
        # Compare whole keys and last parts, so that a key in the wrong group is recognized.
        last = [k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
        near = nearest(key, known) or next(iter(last), None)
        hint = f"; did you mean --config.{near}?" if near else ""
        return f"--config.{key}: no such setting{hint}"
    return None


def _named_recipe(argv: list[str]) -> str | None:
    """FILE[:VARIANT] of --config=FILE[:VARIANT]."""
    for argument in argv[1:]:
        key, _, value = argument.lstrip("-").partition("=")
        if key == "config" and value:
            return value
    return None
