"""Ports that are found are free, and stay so."""

import socket

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
