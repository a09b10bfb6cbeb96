"""Every setting, declared once: key, default, meaning, unit and constraints.

`common.COMMON` holds the settings of all tasks. `crops` and `whole_images` add those that tasks on
crops of one person and tasks on whole images share. `topdown`, `associative_embedding` and
`part_affinity` hold the complete list of a task, `SETTINGS`, and `check`, the rules between
settings. A recipe starts from them:

    config = default_config(jaxpose.config.topdown.SETTINGS, task="topdown")
    config.optimizer.learning_rate = 1e-3

`jaxpose settings` lists them. Validation, defaults and docs/settings.md come from the declarations.
"""

from jaxpose.config.checks import check_config
from jaxpose.config.common import COMMON
from jaxpose.config.paths import expand_paths
from jaxpose.config.setting import (
    ConfigError,
    Setting,
    defaults,
    with_defaults,
    with_settings,
    without,
)
from jaxpose.config.splits import generated_files, split_files
from jaxpose.config.steps import profiled_steps
from jaxpose.config.tree import default_config, differences, flatten, reset

__all__ = [
    "COMMON",
    "ConfigError",
    "Setting",
    "check_config",
    "default_config",
    "defaults",
    "differences",
    "expand_paths",
    "flatten",
    "generated_files",
    "profiled_steps",
    "reset",
    "split_files",
    "with_defaults",
    "with_settings",
    "without",
]
