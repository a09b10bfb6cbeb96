"""config.json of a run folder: settings, skeleton, versions, and values checked on resuming."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import flax
import jax
import ml_collections
import orbax.checkpoint as ocp

from jaxpose import tasks
from jaxpose.config.tree import with_missing_settings, with_task
from jaxpose.files import Location, write_atomic
from jaxpose.remote import RemoteError
from jaxpose.runs.arrays import CheckpointError
from jaxpose.skeletons import Skeleton


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """The content of config.json."""

    config: ml_collections.ConfigDict
    skeleton: Skeleton
    facts: dict[str, Any]  # numbers that must not change when a run resumes, e.g. total steps


def write_info(folder: Location, config: Mapping, skeleton: Skeleton, **facts: Any) -> None:
    """Writes config.json: configuration, skeleton, versions and `facts`."""
    record = make_record(config, skeleton) | {"facts": facts}
    write_atomic(folder / "config.json", json.dumps(record, indent=2) + "\n")


def make_record(config: Mapping, skeleton: Skeleton) -> dict[str, Any]:
    """Configuration, skeleton, facts (none) and versions, as values of JSON."""
    values = config.to_dict() if isinstance(config, ml_collections.ConfigDict) else dict(config)
    import jaxpose  # here, to avoid a circular import

    versions = {
        "jaxpose": jaxpose.__version__,
        "jax": jax.__version__,
        "flax": flax.__version__,
        "orbax": ocp.__version__,
    }
    return {
        "config": values,
        "skeleton": skeleton.to_dict(),
        "facts": {},
        "versions": versions,
    }


def read_info(folder: Location) -> RunInfo:
    """Reads config.json. Settings that did not exist when the run started have their defaults.

    Raises:
      CheckpointError: it is missing, damaged or of something else.
    """
    path = folder / "config.json"
    try:
        record = _read_record(path)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{folder} is not a run folder: it has no config.json") from None
    return parse_record(record, path)


def parse_record(record: dict[str, Any], path: Location) -> RunInfo:
    """The settings and the skeleton of `make_record`.

    Args:
      record: configuration and skeleton as JSON holds them.
      path: the file, for messages.

    Raises:
      CheckpointError: values are missing or of other types than a run writes.
    """
    try:
        values = with_task(record["config"])
        settings = tasks.get(values["task"]).SETTINGS
        config = ml_collections.ConfigDict(_tuples(with_missing_settings(values, settings)))
        info = RunInfo(config, Skeleton.from_dict(record["skeleton"]), record.get("facts", {}))
    except KeyError as error:
        raise CheckpointError(f"{path} is damaged: it has no {error}") from None
    except ValueError as error:  # e.g. a task that does not exist
        raise CheckpointError(f"{path} cannot be used: {error}") from None
    except (TypeError, AttributeError):
        raise CheckpointError(
            f"{path} is damaged: 'config' or 'skeleton' holds values of other types than a run "
            "writes"
        ) from None
    config.lock()
    if "model_options" in config:
        config.model_options.unlock()
    return info


def _read_record(path: Location) -> dict[str, Any]:
    """The content of config.json.

    Raises:
      CheckpointError: it cannot be read, is not JSON, or belongs to something else.
      FileNotFoundError, NotADirectoryError: there is none.
      RemoteError: the store cannot be reached.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, RemoteError):
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON ({error})") from None
    if not isinstance(record, dict) or not {"config", "skeleton"} <= record.keys():
        raise CheckpointError(f"{path} does not belong to a run: it has no 'config' and 'skeleton'")
    for key in ("config", "skeleton"):
        if not isinstance(record[key], dict):
            raise CheckpointError(
                f"{path} is damaged: {key!r} must be an object, not {type(record[key]).__name__}"
            )
    return record


def check_own(folder: Location) -> None:
    """Checks that a run may write its config.json into a folder.

    Raises:
      CheckpointError: the folder has a config.json that is damaged or of something else.
    """
    with contextlib.suppress(FileNotFoundError):
        try:
            _read_record(folder / "config.json")
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}, and would be overwritten: restore it or choose another folder"
            ) from None


def _tuples(value: Any) -> Any:
    """Converts lists to tuples, which JSON cannot store."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
