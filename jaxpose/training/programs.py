"""Command lines of train.py and eval.py: flags whose mistakes are told in one line."""

import sys

from absl import flags, logging
from ml_collections import config_flags

# Recipes lock themselves, so only `model_options` takes new keys, which have no type yet.
FREE = {"lock_config": False, "accept_new_attributes": True}


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one line and exit status 2 for unknown or ill-typed settings."""
    name = argv[0].rsplit("/", 1)[-1]
    logging.set_verbosity(logging.WARNING)  # orbax tells each rename; --verbosity=0 shows it
    try:
        return flags.FLAGS(argv)
    except (flags.Error, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        text = str(error.args[0] if error.args else error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        # A recipe that fails while it is read puts its own error last.
        print(f"{name}: {lines[-1] if lines else text}", file=sys.stderr)
        sys.exit(2)


def define_config_file(help_text: str, default: str | None = None) -> None:
    """Defines --config=FILE.py and --config.key=value."""
    config_flags.DEFINE_config_file("config", default, help_text, **FREE)
