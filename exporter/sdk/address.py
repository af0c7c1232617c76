"""Make the connection string that the writer uses, with the addresses of its hosts looked up.

libpq would look names up inside a call during which psycopg keeps the interpreter locked: a slow name server would
stop the whole application. Python's getaddrinfo lets other threads run.
"""

import hashlib
import os
import socket

from exporter.sdk import driver
from exporter.sdk.options import Options


def connection_string(options: Options) -> str:
    """Return libpq's key-value string. Raises psycopg.ProgrammingError (malformed DSN) or socket.gaierror."""
    driver.load()
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parameters = conninfo_to_dict(options.dsn)
    if options.password:
        parameters["password"] = options.password
    parameters.setdefault("application_name", f"platform-sdk {options.app}"[:60])
    parameters.setdefault("gssencmode", "disable")  # asking for a Kerberos ticket may ask other servers, and block
    parameters["client_encoding"] = "UTF8"
    hosts = str(parameters.get("host") or os.environ.get("PGHOST", "")).split(",")
    ports = str(parameters.get("port") or os.environ.get("PGPORT", "")).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    by_name = all(host and not host.startswith(("/", "@")) for host in hosts)  # else there is a Unix socket
    if by_name and len(ports) == len(hosts) and not parameters.get("hostaddr"):
        places = _look_up(list(zip(hosts, ports, strict=True)))
        for index, key in enumerate(("host", "port", "hostaddr")):
            parameters[key] = ",".join(place[index] for place in places)
    return make_conninfo("", **parameters)


def destination(options: Options) -> str:
    """Return a short text that is the same for all processes of one application that write to one database."""
    try:
        driver.load()
        from psycopg.conninfo import conninfo_to_dict

        parameters = conninfo_to_dict(options.dsn)
        parts = [str(parameters.get(key) or "") for key in ("host", "hostaddr", "port", "dbname")]
    except Exception:  # noqa: BLE001 - psycopg missing or the DSN malformed: events are kept until that is mended
        parts = [options.dsn]
    return hashlib.sha256("\0".join((*parts, options.app)).encode("utf-8", "replace")).hexdigest()[:16]


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
