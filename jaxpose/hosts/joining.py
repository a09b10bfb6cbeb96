"""Connects the hosts of a training or an evaluation. A host is one process of `jax.distributed`."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxpose.config import ConfigError
from jaxpose.hosts import failures, messages
from jaxpose.wording import quantity

_RETRY = 0.5  # seconds between two attempts to reach the coordinator
_ATTEMPT = 5.0  # seconds of one attempt


def join(config: ConfigDict, program: str) -> None:
    """Calls `jax.distributed.initialize` and checks the number of hosts.

    From then on, standard error is filtered (`messages`), and this host ends when another one fails
    (`failures`).

    Args:
      config: the settings `distributed`.
      program: the name that starts each line about failed hosts.

    Raises:
      ConfigError: the settings are invalid, the coordinator cannot be reached, or the number of
        hosts is not `config.hosts`.
    """
    host = None if config.host_id < 0 else config.host_id
    check_numbers(config.hosts, host)
    expected = config.hosts or "all"
    print(f"waiting up to {config.timeout} s for {expected} hosts", flush=True)
    end = time.monotonic() + config.timeout
    if config.coordinator:
        name, port = split_address(config.coordinator)
        if host == 0:
            check_free(port)
        elif host is not None:
            reach(name, port, config.timeout)
    messages.start(
        messages.Setup(
            program=program,
            host=host,
            hosts=config.hosts,
            coordinator=config.coordinator,
            timeout=config.timeout,
            heartbeat=config.heartbeat,
        )
    )
    # JAX would handle SIGTERM itself. Its agreement on a step to stop at can miss the step, since
    # the thread in which orbax saves takes part with the number of an older step.
    jax.config.update("jax_enable_preemption_service", False)
    options: dict[str, Any] = {
        "coordinator_address": config.coordinator or None,
        "num_processes": config.hosts or None,
        "process_id": host,
    }
    try:
        jax.distributed.initialize(
            **options,
            initialization_timeout=max(1, round(end - time.monotonic())),
            heartbeat_timeout_seconds=config.heartbeat,
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{expected} hosts did not connect: start the same command on each host; outside Cloud "
            "TPU, Kubernetes and Slurm, give config.distributed.coordinator, hosts and host_id "
            f"({str(error).splitlines()[0]})"
        ) from None
    failures.watch(program, config.heartbeat)
    count = jax.process_count()
    print(f"{count} of {expected} hosts connected; this is host {jax.process_index()}", flush=True)
    if config.hosts and count != config.hosts:
        raise ConfigError(
            f"config.distributed.hosts={config.hosts}, but {quantity(count, 'host')} connected"
        )


def check_numbers(hosts: int, host: int | None) -> None:
    """Checks the number of a host.

    Args:
      hosts: number of hosts, or 0 if it is detected.
      host: number of this host, or None if it is detected.

    Raises:
      ConfigError: it is not less than the number of hosts.
    """
    if hosts and host is not None and host >= hosts:
        raise ConfigError(
            f"config.distributed.host_id={host} must be less than config.distributed.hosts={hosts}:"
            f" the hosts have the numbers 0 to {hosts - 1}"
        )


def split_address(address: str) -> tuple[str, int]:
    """Splits HOST:PORT.

    Raises:
      ConfigError: the host or the port is missing or invalid.
    """
    name, _, port = address.rpartition(":")
    if not name or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"config.distributed.coordinator={address} must be HOST:PORT, the address of host 0 "
            "and a free port of it, e.g. 10.0.0.2:8476"
        )
    return name.strip("[]"), int(port)


def check_free(port: int) -> None:
    """Checks that the coordinator can use a port of this host.

    Raises:
      ConfigError: another program uses it.
    """
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        with socket.create_server(
            ("", port), family=family, dualstack_ipv6=family == socket.AF_INET6
        ):
            pass
    except OSError as error:
        raise ConfigError(
            f"config.distributed.coordinator: port {port} of this host cannot be used "
            f"({os.strerror(error.errno or 0)}); choose another port on all hosts, or stop the "
            "program that uses it"
        ) from None


def reach(name: str, port: int, timeout: float) -> None:
    """Waits until the coordinator accepts connections; JAX itself would abort the process.

    Args:
      name: name or address of host 0.
      port: its port.
      timeout: seconds to try.

    Raises:
      ConfigError: it did not accept a connection in this time.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            wait = min(_ATTEMPT, max(0.1, end - time.monotonic()))
            socket.create_connection((name, port), timeout=wait).close()
            return
        except OSError as error:
            if time.monotonic() + _RETRY >= end:
                reason = error.strerror or str(error)
                raise ConfigError(
                    f"the coordinator {name}:{port} did not answer within {timeout:g} s ({reason}):"
                    " check that host 0 runs the same command, that "
                    "config.distributed.coordinator is its address, and that no firewall blocks "
                    "the port"
                ) from None
        time.sleep(_RETRY)
