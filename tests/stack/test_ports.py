"""Ports that are found are free, and stay so."""

import socket
import subprocess
import sys

from tools.stack.checkout import CHECKOUT
from tools.stack.ports import HIGHEST, LOWEST, free_port


def test_no_port_is_given_twice() -> None:
    """A server that was not started yet keeps its port."""
    ports = [free_port() for _ in range(200)]

    assert len(set(ports)) == 200
    assert all(LOWEST <= port < HIGHEST for port in ports)


def test_a_port_found_can_be_listened_on() -> None:
    """That is what it is for."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_no_other_process_is_given_it() -> None:
    """Nor is one that runs at the same time, before a server listens there."""
    port = free_port()
    only_it = f"from tools.stack import ports; ports.LOWEST, ports.HIGHEST = {port}, {port + 1}; ports.free_port()"

    other = subprocess.run([sys.executable, "-c", only_it], cwd=CHECKOUT, capture_output=True, text=True)

    assert f"no free TCP port on 127.0.0.1 between {port} and" in other.stderr
