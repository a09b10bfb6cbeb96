"""Checks, before anything is compiled, that all hosts have the same settings, code and data.

Every host compares its record with that of host 0. Without this check, hosts with different
settings train on together: each uses its own, and the gradients are averaged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax

from jaxpose import jax_api
from jaxpose.config import ConfigError
from jaxpose.hosts.failures import HostsDifferError, missing_hosts, several
from jaxpose.wording import quantity

_SHOWN = 3  # differences in the message
Record = Mapping[str, Any]


def agree(name: str, record: Record, timeout: float, hint: str = "") -> None:
    """Compares a record of this host with that of host 0; does nothing on one host.

    Args:
      name: what the record describes, e.g. "settings"; each name is used once.
      record: names and values that JSON can store.
      timeout: seconds to wait for the other hosts.
      hint: what the message about a difference says at the end.

    Raises:
      HostsDifferError: the records differ; raised on the hosts that differ from host 0, and the
        other hosts end with the same line (`failures`).
      ConfigError: host 0, or another host, did not get here in time.
    """
    client = jax_api.coordination_client()
    if client is None or not several():
        return
    host, milliseconds = jax_api.host_numbers()[0], round(1000 * timeout)
    own = json.loads(json.dumps(record))
    folder = f"jaxpose/agree/{name}"
    if host == 0:
        client.key_value_set(f"{folder}/record", json.dumps(own))
    try:
        if host > 0:
            first = json.loads(client.blocking_key_value_get(f"{folder}/record", milliseconds))
            if line := describe_differences(own, first, host):
                raise HostsDifferError(f"{line}; {hint}" if hint else line)
        client.key_value_set(f"{folder}/checked/{host}", "")
        client.wait_at_barrier(f"{folder}/barrier", milliseconds)
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        raise ConfigError(
            f"{_missing(client, folder)} did not compare its {name} within {timeout:g} s: see the "
            "last line of each host, or raise config.distributed.timeout"
        ) from None


def describe_differences(own: Record, first: Record, host: int) -> str:
    """The differences between the record of a host and that of host 0, in one line; "" if none."""
    names = [key for key in {**first, **own} if _text(own, key) != _text(first, key)]
    parts = [
        f"{name} {_text(own, name)}, host 0 has {_text(first, name)}" for name in names[:_SHOWN]
    ]
    if not parts:
        return ""
    more = f"; {quantity(len(names) - _SHOWN, 'more difference')}" if len(names) > _SHOWN else ""
    return f"host {host} has " + f"; host {host} has ".join(parts) + more


def _text(record: Record, key: str) -> str:
    """A value as the message shows it; strings with quotes, so that an empty one is visible."""
    if key not in record:
        return "(absent)"
    value = record[key]
    return str(value) if not isinstance(value, str) or value else "''"


def _missing(client: Any, folder: str) -> str:
    """The hosts that did not set their key, in words."""
    lost = [str(host) for host in missing_hosts(client, f"{folder}/checked/")]
    return f"host {', '.join(lost)}" if lost else "another host"
