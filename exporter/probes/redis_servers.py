"""The servers of one Redis: the one that a URL or Sentinels name, and in a cluster those that hold the keys."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from exporter.probes.base import Driver
from exporter.sections import Secret, is_host, is_port

if TYPE_CHECKING:
    import redis
else:
    redis = Driver("redis")

Command = tuple[str | bytes, ...]
Address = tuple[str, int]

PORT = 6379
SENTINEL_PORT = 26379

REDIRECTS_MOST = 5
"""How often a key's command follows a cluster's redirections: more is a cluster that contradicts itself."""

HEAD_BYTES = 64
"""The longest head of a reply to XRANGE, up to the end of its first entry's id."""

URL_EXPECTED = (
    "redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, and in a password %2F for /, %40 for @ and so on "
    "(or put it into `password_file`, as it is)"
)

_URL = re.compile(
    r"(?P<scheme>rediss?|unix)://(?:(?P<username>[^:/?#@\s]*)(?::(?P<password>[^/?#@\s]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\]\s]*)(?::(?P<port>[0-9]+))?(?P<path>/[^?#@\s]*)?(?:\?(?P<query>[^#\s]*))?"
)
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:/?#@\[\]\s]+))(?::(?P<port>[0-9]+))?")
_HEAD = re.compile(rb"\*1\r\n\*2\r\n\$[0-9]+\r\n([0-9]+-[0-9]+)\r\n")

_VERIFICATION = {"none": "none", "optional": "optional", "required": "required"}
_TLS_OPTIONS: dict[str, dict[str, object] | None] = {
    "ssl_ca_certs": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_cert_reqs": {
        **_VERIFICATION,
        **{f"CERT_{name.upper()}": name for name in _VERIFICATION},
    },  # the latter: Celery
    "ssl_check_hostname": {"true": True, "false": False},
}
"""The options of a rediss:// URL, and what each value means; None is any text."""


class Url(NamedTuple):
    """What a URL says: whether with TLS or over a socket, and the options of redis-py's connections."""

    scheme: str
    options: dict[str, Any]


def parse_url(url: Secret) -> Url:
    """Return what a URL says. Raises ValueError, with what was expected and without quoting the URL.

    redis-py's parser passes over what it does not understand, and takes the end of a password with / in it for a host.
    """
    match = _URL.fullmatch(url.reveal())
    if match is None:
        raise ValueError(URL_EXPECTED)
    scheme, path, port = match["scheme"], match["path"] or "", match["port"]
    given = {name: unquote(match[name]) for name in ("username", "password") if match[name]}
    query = parse_qsl(match["query"] or "", keep_blank_values=True)
    if scheme == "unix":
        place: dict[str, Any] = {"path": unquote(path)}
        valid = not match["host"] and port is None and len(path) > 1
    else:
        place = {"host": match["host"].strip("[]"), "port": int(port or PORT)}
        valid = is_host(match["host"] or "") and (port is None or is_port(port))
        query += [("db", path[1:])] if len(path) > 1 else []
    if not valid:
        raise ValueError(URL_EXPECTED)
    return Url(scheme, given | place | _options(scheme, query))


def _options(scheme: str, query: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the options in a URL's query, by redis-py's names; the database, from its path, is one."""
    known = ("db", *(_TLS_OPTIONS if scheme == "rediss" else ()))
    names = [name for name, _ in query]
    if not {*names} <= {*known} or len({*names}) < len(names):
        options = ", ".join(known)
        raise ValueError(f"no option behind ? but {options}, each once, and in a password %3F for ? and %26 for &")
    found: dict[str, Any] = {}
    for name, text in query:
        meanings = _TLS_OPTIONS.get(name)
        if name == "db" and not re.fullmatch("[0-9]{1,9}", text):
            raise ValueError(f"a number for the database, such as 0; {URL_EXPECTED}")
        if meanings is not None and text not in meanings:
            raise ValueError(f"for {name} one of {', '.join(meanings)}")
        found[name] = int(text) if name == "db" else meanings[text] if meanings else text
    return found


def parse_address(text: str, port: int) -> Address | None:
    """Return a host and its port, or `port`, of HOST:PORT; None where that is something else."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not (match["port"] is None or is_port(match["port"])):
        return None
    if not is_host(match["host"] or f"[{match['ipv6']}]"):
        return None
    return match["ipv6"] or match["host"], int(match["port"] or port)


class Server:
    """One server, over one kept connection, in which every wait ends at the caller's deadline."""

    def __init__(self, url: Url, **options: Any) -> None:
        self.options = url.options | options
        self._scheme = url.scheme
        self._connection: Any = None

    def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send `commands` at once and return their replies; an error that the server answers with is a reply too.

        A kept connection that broke since is replaced, once. Raises redis.RedisError.
        """
        try:
            if self._connection is not None:
                try:
                    return self._exchange(commands, deadline)
                except redis.TimeoutError:
                    raise
                except redis.ConnectionError:
                    self.close()
            self._connection = self._connect(deadline)
            return self._exchange(commands, deadline)
        except BaseException:
            self.close()
            raise

    def first_id(self, stream: str, start: bytes, deadline: float) -> bytes:
        """Return the id of a stream's first entry from `start` on, empty where there is none.

        No command returns an id alone, and the content of an entry may be huge: so the connection, which is of its own,
        ends behind the id. Raises redis.RedisError or OSError.
        """
        connection = self._connect(deadline)
        try:
            connection.send_packed_command(connection.pack_command("XRANGE", stream, start, "+", "COUNT", "1"))
            head = b""
            while (match := _HEAD.match(head)) is None and head != b"*0\r\n":
                connection._sock.settimeout(_left(deadline))
                chunk = connection._sock.recv(HEAD_BYTES - len(head))
                if not chunk or head.startswith(b"-"):
                    raise redis.ResponseError("no id in the reply to XRANGE")
                head += chunk
            return match[1] if match else b""
        finally:
            connection.disconnect()

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        connection = self._connection
        connection._sock.settimeout(_left(deadline))
        connection.send_packed_command(connection.pack_commands(commands))
        replies = []
        for _ in commands:
            try:
                connection._sock.settimeout(_left(deadline))
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        return replies

    def _connect(self, deadline: float) -> Any:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        kinds = {"unix": redis.UnixDomainSocketConnection, "rediss": redis.SSLConnection}
        options = self.options | {
            "protocol": 2,  # no HELLO, no push messages: all that is asked here is the same in both
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": _left(deadline),
            "socket_timeout": _left(deadline),
        }
        connection = kinds.get(self._scheme, redis.Connection)(**options)
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection


class Servers:
    """All servers of one target. In a cluster each key is asked of the node that holds it, which is remembered."""

    def __init__(self, url: Url, sentinels: Iterable[Address] = (), **sentinel_credentials: str) -> None:
        """Take the URL, whose host is the primary's name where there are Sentinels. Connects to nothing."""
        self._url = url
        self._group = url.options.get("host", "")
        tls = {name: option for name, option in url.options.items() if name.startswith("ssl_")}
        self._sentinels = [
            Server(Url(url.scheme, tls), host=host, port=port, **sentinel_credentials) for host, port in sentinels
        ]
        self.main = Server(url)
        self._nodes: dict[Address, Server] = {}
        self._homes: dict[str, Address] = {}
        self._found = not self._sentinels

    def find(self, deadline: float) -> str:
        """Let `main` be the primary that the first Sentinel to answer names; return why none did, empty if one did.

        While none does it stays what it was. Raises redis.RedisError where it was never found.
        """
        error: redis.RedisError | None = None
        for left, sentinel in zip(range(len(self._sentinels), 0, -1), tuple(self._sentinels), strict=True):
            try:
                self._move(_primary(sentinel, self._group, time.monotonic() + _left(deadline) / (left + 1)))
            except redis.RedisError as failure:
                error = error or failure
                continue
            self._sentinels.remove(sentinel)  # the next check asks it first: one that is frozen costs time only once
            self._sentinels.insert(0, sentinel)
            return ""
        if error is None:
            return ""
        if not self._found:
            raise error
        return str(error)

    def ask_keys(self, wanted: Sequence[tuple[str, Command]], deadline: float) -> list[Any]:
        """Return the reply to each command about a key; where a node of a cluster fails, its error.

        Raises redis.RedisError where the main server fails.
        """
        replies: list[Any] = [None] * len(wanted)
        places = {number: (self._homes.get(key), False) for number, (key, _) in enumerate(wanted)}
        for _ in range(REDIRECTS_MOST):
            by_place = defaultdict(list)
            for number, place in places.items():
                by_place[place].append(number)
            places = {}
            for (address, asking), numbers in by_place.items():
                answers = self._ask_node(address, [wanted[number] for number in numbers], deadline, asking)
                for number, reply in zip(numbers, answers, strict=True):
                    replies[number] = reply
                    if isinstance(reply, redis.exceptions.AskError):
                        places[number] = self._redirected(wanted[number][0], reply, address)
            if not places:
                break
        return replies

    def first_id(self, stream: str, start: bytes, deadline: float) -> bytes:
        """Return the id of a stream's first entry from `start` on, empty where there is none.

        Raises redis.RedisError or OSError.
        """
        return self._node(self._homes.get(stream)).first_id(stream, start, deadline)

    def close(self) -> None:
        """Drop all connections."""
        for server in (self.main, *self._sentinels, *self._nodes.values()):
            server.close()

    def _move(self, address: Address) -> None:
        host, port = address
        if (host, port) != (self.main.options["host"], self.main.options["port"]):
            self.main.close()
            self.main = Server(self._url, host=host, port=port)
        self._found = True

    def _node(self, address: Address | None) -> Server:
        if address is None:
            return self.main
        if address not in self._nodes:
            host, port = address
            self._nodes[address] = Server(self._url, host=host, port=port)
        return self._nodes[address]

    def _ask_node(
        self, address: Address | None, wanted: list[tuple[str, Command]], deadline: float, asking: bool
    ) -> list[Any]:
        commands = [part for _, command in wanted for part in ((("ASKING",), command) if asking else (command,))]
        try:
            return self._node(address).ask(commands, deadline)[int(asking) :: 1 + asking]
        except redis.RedisError as error:
            if address is None:
                raise
            for key, _ in wanted:
                self._homes.pop(key, None)  # the next check starts at the main server, which knows of a failover
            return [redis.RedisError(f"its node {address[0]}:{address[1]}: {error}")] * len(wanted)

    def _redirected(self, key: str, error: Any, address: Address | None) -> tuple[Address, bool]:
        """Return where a cluster says that a key is, and whether only for now, while the key moves there."""
        home = (error.host or self._node(address).options["host"], error.port)  # no host: that of who answered
        moved = isinstance(error, redis.exceptions.MovedError)
        if moved:
            self._homes[key] = home
        return home, not moved


def _primary(sentinel: Server, group: str, deadline: float) -> Address:
    (reply,) = sentinel.ask([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", group)], deadline)
    place = f"Sentinel {sentinel.options['host']}:{sentinel.options['port']}"
    if isinstance(reply, redis.ResponseError):
        raise type(reply)(f"{place}: {reply}")
    if not reply:
        raise redis.ResponseError(f"{place} knows no primary of the name {group!r}")
    host, port = reply
    return host.decode(), int(port)


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
