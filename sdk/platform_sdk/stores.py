"""Which of several event stores a process writes to: by rendezvous hashing of its app and host.

All processes of an app on one host write to one store, whatever the order of the list. A store that is added takes its
share of all apps and hosts, one that is taken away leaves its own to the others, and no other moves (Thaler and
Ravishankar, "Using name-based mappings to increase hit rates", 1998).
"""

import hashlib
import re
from collections.abc import Sequence

from platform_sdk.errors import OptionError

_URL = re.compile(r"postgres(?:ql)?://(?:[^/]*@)?([^/?]*)(?:/([^?]*))?(?:\?(.*))?", re.S)
_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:\\.|\S)*)", re.S)
_SETTING = re.compile(r"(\w+)=([^&]*)")
_ADDRESS = r"(?:\[[^][/@\s]*\]|[^][/?:,@\s]*)(?::[0-9]*)?"
_VALID_URL = re.compile(
    r"(?!.*://.*://)(?!.*%(?![0-9A-Fa-f]{2}))postgres(?:ql)?://"
    # As libpq reads it: the first @ before any / ends user and password, whatever else they hold.
    rf"(?:[^@/]*@|(?![^@/]*@)){_ADDRESS}(?:,{_ADDRESS})*"
    r"(?:/(?:[^?@=\s]*[^?@=\s,])?)?(?:\?(?:[a-z_]+=[^&=]*(?:&|\Z))*)?",
    re.S,
)
_BETWEEN = re.compile(r"[\s,]+(?=postgres(?:ql)?://)")
_PLACE = ("service", "host", "hostaddr", "port", "dbname")
"""What tells a store from another: a password that changes moves no app."""

Place = tuple[str, ...]


def chosen(dsns: Sequence[str], app: str, host: str) -> str:
    """Return the store of an app's processes on a host."""
    return max(dsns, key=lambda dsn: (_weight(place(dsn), app, host), dsn))


def listed(value: object, expected: str) -> tuple[str, ...]:
    """Return the DSNs of an option: one, several in a list, or several URLs with commas, blanks or lines between them.

    Raises OptionError, which quotes none.
    """
    given = value if isinstance(value, list | tuple) else [value]
    texts = [one.strip() for one in given if isinstance(one, str)]
    if len(texts) < len(given):
        raise OptionError(f"invalid {type(value).__name__} for dsn: expected {expected}")
    found = [one for text in texts for one in (_BETWEEN.split(text) if is_url(text) else [text])]
    if (isinstance(value, list | tuple) and not all(found)) or not all(map(is_valid, found)):
        raise OptionError(f"invalid value for dsn (not shown): expected {expected}")
    places = [place(one) for one in found]
    return tuple(one for number, one in enumerate(found) if places[number] not in places[:number])


def is_url(dsn: str) -> bool:
    """Tell whether a DSN is a URL; otherwise it is keywords with values."""
    return dsn.startswith(("postgresql://", "postgres://"))


def is_valid(dsn: str) -> bool:
    """Tell whether libpq may read a DSN, and takes no part of a password or of another DSN for a host or a database.

    All that can be said without loading libpq. Such a part would be shown in its messages and the server's.
    """
    readable = _VALID_URL.fullmatch(dsn) is not None if is_url(dsn) else not re.search(r"postgres(?:ql)?://", dsn)
    found = place(dsn)
    if not readable or len(found) < len(_PLACE):
        return readable
    service, host, address, port, database = (part.replace("%40", "@") for part in found)
    hosts = [one[1:] for one in host.split(",")]  # one that begins with @ is an abstract socket
    shown = (service, *hosts, address, database)
    return re.fullmatch(r"[0-9,]*", port) is not None and not any("@" in one or "://" in one for one in shown)


def place(dsn: str) -> Place:
    """Return service, host, address, port and database as they are written; the whole of what cannot be read.

    Without libpq, which `init` does not load.
    """
    url = _URL.fullmatch(dsn)
    pairs = dict(_SETTING.findall(url[3] or "") if url else _PAIR.findall(dsn))
    if url:
        host, _, port = url[1].rpartition(":") if re.search(r":\d*$", url[1]) else (url[1], "", "")
        pairs = {"host": host, "port": port, "dbname": url[2] or "", **pairs}
    found = tuple(pairs.get(name, "").strip("'") for name in _PLACE)
    return found if any(found) else (dsn,)


def name(dsn: str) -> str:
    """Return HOST:PORT/DATABASE of a store; nothing of a DSN that is invalid or has neither: it may be a password."""
    if not is_valid(dsn):
        return "a store with an invalid DSN"
    found = place(dsn)
    if len(found) < len(_PLACE):
        return "the default server"
    service, host, address, port, database = found
    return f"service {service}" if service else f"{host or address}:{port or 5432}/{database}"


def _weight(store: Place, app: str, host: str) -> bytes:
    """Return the weight of a store. Another way to make it would move apps with each new version of the SDK."""
    return hashlib.sha256("\0".join((*store, app, host)).encode("utf-8", "replace")).digest()
