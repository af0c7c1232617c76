"""Look up the hosts of a PostgreSQL server before libpq does.

libpq would look names up inside `connect_start`, which psycopg calls with the interpreter locked: a slow name server
would stop everything. Python's getaddrinfo lets other threads run, and raises an exception of its own kind.
"""

import os
import socket
from collections.abc import Mapping
from typing import Any


def resolved(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return libpq's connection parameters with the addresses of the hosts in them, `hostaddr`.

    They are also kept from asking for a Kerberos ticket, which blocks, and may ask other servers. Raises
    socket.gaierror where no host has an address.
    """
    found = {"gssencmode": "disable", **parameters}
    hosts = str(found.get("host") or os.environ.get("PGHOST", "")).split(",")
    ports = str(found.get("port") or os.environ.get("PGPORT", "")).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    by_name = all(host and not host.startswith(("/", "@")) for host in hosts)  # else there is a Unix socket
    if by_name and len(ports) == len(hosts) and not found.get("hostaddr"):
        places = _look_up(list(zip(hosts, ports, strict=True)))
        for index, key in enumerate(("host", "port", "hostaddr")):
            found[key] = ",".join(place[index] for place in places)
    return found


def _look_up(places: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return host, port and address of every address there is. Raises socket.gaierror where no host has one."""
    found: list[tuple[str, str, str]] = []
    failure: socket.gaierror | None = None
    for host, port in places:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            failure = error
        else:
            found += [(host, port, address) for address in dict.fromkeys(str(place[0]) for *_, place in answers)]
    if failure is not None and not found:
        raise failure
    return found
