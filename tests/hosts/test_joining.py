"""Wrong addresses and numbers of hosts are refused before JAX sees them."""

import socket

import pytest

from jaxpose.config import ConfigError
from jaxpose.hosts import joining
from tests.helpers.several_hosts import free_address


def test_the_number_of_a_host_is_less_than_the_number_of_hosts():
    joining.check_numbers(2, 1)
    joining.check_numbers(0, 7)
    joining.check_numbers(2, None)
    with pytest.raises(ConfigError, match="host_id=2 must be less than .*hosts=2: .* 0 to 1"):
        joining.check_numbers(2, 2)


def test_addresses_are_split():
    assert joining.split_address("10.0.0.2:8476") == ("10.0.0.2", 8476)
    assert joining.split_address("[::1]:8476") == ("::1", 8476)


@pytest.mark.parametrize("address", ["node-0", "node-0:", ":8476", "node-0:http", "node-0:70000"])
def test_an_address_without_host_or_port_is_refused(address):
    with pytest.raises(ConfigError, match=f"{address} must be HOST:PORT"):
        joining.split_address(address)


def test_a_port_in_use_is_refused():
    port = int(free_address().rpartition(":")[2])
    joining.check_free(port)
    with socket.create_server(("", port)):
        with pytest.raises(ConfigError, match=f"port {port} of this host cannot be used"):
            joining.check_free(port)


def test_a_coordinator_that_accepts_connections_is_reached():
    with socket.create_server(("localhost", 0)) as server:
        joining.reach("localhost", server.getsockname()[1], timeout=5)


@pytest.mark.parametrize("name", ["localhost", "no-such-host.invalid"])
def test_a_coordinator_that_does_not_answer_is_named(name):
    port = int(free_address().rpartition(":")[2])
    with pytest.raises(ConfigError) as caught:
        joining.reach(name, port, timeout=0.2)
    text = str(caught.value)
    assert f"the coordinator {name}:{port} did not answer within 0.2 s (" in text
    assert "check that host 0 runs the same command" in text and "\n" not in text
