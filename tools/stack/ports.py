"""Find TCP ports to listen on."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

from tools.stack.errors import StackError

# Below the kernel's range for outgoing connections (32768 upwards): a port found free there may be taken by any client
# connection between the finding and the server's bind, which made roughly one start in some hundred fail.
LOWEST, HIGHEST = 15000, 32000

_given: set[int] = set()
_random = random.Random(os.urandom(8))  # noqa: S311 - no secret: parallel test processes should look in different places


def free_port() -> int:
    """Return a loopback port that is free now and that no process was given before which still runs."""
    for _ in range(1000):
        port = _random.randrange(LOWEST, HIGHEST)
        if port not in _given and _claim(port) and is_free(port):
            _given.add(port)
            return port
    raise StackError(f"no free TCP port on 127.0.0.1 between {LOWEST} and {HIGHEST} in 1000 tries: end some programs")


def _claim(port: int) -> bool:
    """Keep other processes from being given a port until this one ends, as a server binds it only a while later."""
    try:
        fcntl.lockf(_claims(os.getuid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _claims(user: int) -> int:
    """Return a file with one byte for each port; who has claimed it holds a lock on it. A fork inherits no lock."""
    path = Path(tempfile.gettempdir(), f"platform-exporter-ports-{user}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free to them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
