"""Lets host 0 do something before the other hosts, e.g. write a file that all of them read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

from jaxpose import jax_api
from jaxpose.config import ConfigError
from jaxpose.hosts.failures import several


@contextlib.contextmanager
def first_host_first(name: str, timeout: float) -> Iterator[None]:
    """The other hosts enter the block when host 0 has left it; does nothing on one host.

    Args:
      name: of the block; each name is used once.
      timeout: seconds that the other hosts wait.

    Raises:
      ConfigError: host 0 took longer.
    """
    if not several():
        yield
        return
    client, key = jax_api.coordination_client(), f"jaxpose/first/{name}"
    assert client is not None
    if jax_api.host_numbers()[0] > 0:
        try:
            client.blocking_key_value_get(key, round(1000 * timeout))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
            raise ConfigError(
                f"host 0 took more than {timeout:g} s for the {name}; raise "
                "config.distributed.timeout"
            ) from None
    yield
    if jax_api.host_numbers()[0] == 0:
        client.key_value_set(key, "")
