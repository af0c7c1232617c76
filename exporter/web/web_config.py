"""The file of `--web.config.file`, in exporter-toolkit's format: TLS, basic authentication, headers, rate limit.

The file and those it names are read again when they change: certificates and users rotate without a restart. An invalid
file is logged once and changes nothing. Stricter than the toolkit in one way: what would be ignored is an error.
Format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

import logging
import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.config import strict_yaml
from exporter.errors import WebConfigError
from exporter.sections import Secret
from exporter.web.basic_auth import BasicAuthUsers
from exporter.web.rate_limit import RateLimit, build_bucket
from exporter.web.tls import TlsServerConfig, build_context, certificate_expiry, matches_any, one_of

logger = logging.getLogger(__name__)

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""The headers that may be set, and the values that each may have; none listed means any."""

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


class HttpServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section. `http2` is accepted for the format's sake, without effect: this server speaks HTTP/1.1."""

    http2: bool | None = None
    headers: dict[str, str] = {}


class WebSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file as written."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, Secret] = {}
    rate_limit: RateLimit = RateLimit()


_SECTIONS: dict[str, type[Struct]] = {
    "tls_server_config": TlsServerConfig,
    "http_server_config": HttpServerConfig,
    "rate_limit": RateLimit,
}


class WebConfig:
    """The current content of the file. Every method first checks for changes, which takes microseconds."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises WebConfigError."""
        self._path = path
        self._files: list[Path] = []
        self._seen: list[_Signature] = []
        self._rules = self._read()

    def tls(self) -> ssl.SSLContext | None:
        """Return the context for the next connection, or None where the server speaks plain HTTP."""
        return self._current().tls

    def certificate_expiry(self) -> float | None:
        """Return when the server's certificate expires, in Unix seconds; None without TLS."""
        return self._rules.certificate_expiry

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Tell whether a client's certificate, verified by the handshake, has an allowed name."""
        allowed = self._current().allowed_names
        return allowed is None or matches_any(certificate, allowed)

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind the rate limit and the passwords, with the headers added."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            rules = self._current()

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(rules.headers)
                await send(message)

            answer = await rules.refuse(Headers(scope=scope).get("Authorization", "")) or app
            await answer(scope, receive, send_with_headers)

        return guarded

    def _current(self) -> "_Rules":
        seen = _signature(self._files)
        if seen == self._seen:
            return self._rules
        self._seen = seen
        try:
            rules = self._read()
            if (rules.tls is None) != (self._rules.tls is None):
                raise WebConfigError(f"{self._path}: TLS cannot be switched on or off while running; restart for that")
        except WebConfigError as error:
            logger.error("the old web configuration stays in force: %s", error)
        else:
            self._rules = rules
            logger.info("reloaded the web configuration %s", self._path)
        return self._rules

    def _read(self) -> "_Rules":
        """Read everything, and from now on watch the files named, even if one of them is invalid."""
        folder = self._path.parent
        try:
            before = _signature([self._path])
            settings = parse(self._path.read_text(encoding="utf-8"))
            named = settings.tls_server_config.files(folder) if settings.tls_server_config else []
            self._files, self._seen = [self._path, *named], before + _signature(named)
            return _Rules(settings, folder)
        except WebConfigError as error:
            raise WebConfigError(f"{self._path}: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise WebConfigError(f"{self._path}: cannot be read ({reason}): expected a YAML file in UTF-8") from error


class _Rules:
    """One valid version of the file, ready for use."""

    def __init__(self, settings: WebSettings, folder: Path) -> None:
        """Raises WebConfigError."""
        tls = settings.tls_server_config
        if settings.http_server_config.http2:
            logger.info("`http_server_config.http2` has no effect: this server speaks HTTP/1.1, as scrapers do too")
        self.headers = _check_headers(settings.http_server_config.headers)
        self.limit = build_bucket(settings.rate_limit)
        self.users = BasicAuthUsers(_check_users(settings.basic_auth_users)) if settings.basic_auth_users else None
        self.tls = build_context(tls, folder) if tls else None
        self.certificate_expiry = certificate_expiry(tls, folder) if tls else None
        self.allowed_names = tls.client_allowed_sans if tls else None

    async def refuse(self, authorization: str) -> ASGIApp | None:
        """Return the answer to a request that is refused, or None."""
        if self.limit and not self.limit.take():
            return _answer(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"})
        status = await self.users.check(authorization) if self.users else HTTPStatus.OK
        if status is HTTPStatus.UNAUTHORIZED:
            return _answer(status, {"WWW-Authenticate": 'Basic realm="platform-exporter", charset="UTF-8"'})
        return None if status is HTTPStatus.OK else _answer(status, {"Retry-After": "1"})


def parse(text: str) -> WebSettings:
    """Return the settings in the file's text, checked for their types only. Raises WebConfigError."""
    try:
        tree = strict_yaml.load(text)
    except strict_yaml.StrictYamlError as error:
        raise WebConfigError(f"invalid YAML: {error}") from None
    if tree is not None and not isinstance(tree, dict):
        raise WebConfigError(f"invalid {type(tree).__name__}: expected a mapping with keys such as `tls_server_config`")
    try:
        return msgspec.convert(_without_nulls(tree or {}), WebSettings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise WebConfigError(_explain(str(error))) from None


def _without_nulls(tree: dict[Any, Any]) -> dict[Any, Any]:
    """Leave out sections and keys without a value, as Go's YAML does; but never users, as that would lift the check."""
    return {
        section: {key: value for key, value in content.items() if value is not None or section == "basic_auth_users"}
        if isinstance(content, dict)
        else content
        for section, content in tree.items()
        if content is not None
    }


def _decode(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


def _explain(message: str) -> str:
    """Put the key first, and leave out the value: it may be a secret."""
    problem, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").lstrip(".")
    problem = problem.replace("Object contains unknown field", "unknown key")
    if not problem.startswith("unknown key"):
        return f"`{where}`: {problem}"
    known = _SECTIONS.get(where, WebSettings).__struct_fields__
    return f"{problem}{f' in `{where}`' if where else ''}: expected one of {', '.join(known)}"


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        where = f"http_server_config.headers.{name}"
        allowed = one_of("http_server_config.headers", name, HEADERS)
        if allowed and value:
            one_of(where, value, dict.fromkeys(allowed))
        if not (value.isascii() and value.isprintable()) and value:
            raise WebConfigError(f"invalid `{where}` {value!r}: expected one line of ASCII")
    return {name: value for name, value in headers.items() if value}


def _check_users(users: Mapping[str, Secret]) -> dict[str, str]:
    for name, hashed in users.items():
        if ":" in name or not _BCRYPT.fullmatch(hashed.reveal()):
            expected = "a name without a colon" if ":" in name else "a bcrypt hash, as `htpasswd -nBC 10 USER` prints"
            raise WebConfigError(f"invalid entry {name!r} in `basic_auth_users`: expected {expected}")
    return {name: hashed.reveal() for name, hashed in users.items()}


def _answer(status: HTTPStatus, headers: dict[str, str]) -> ASGIApp:
    return PlainTextResponse(f"{status.phrase}\n", status, headers={"Cache-Control": "no-store", **headers})


_Signature = tuple[int, int, int] | None


def _signature(files: list[Path]) -> list[_Signature]:
    """Return what changes when one of the files does, also where a symbolic link is pointed elsewhere."""
    return [_stat(file) for file in files]


def _stat(file: Path) -> _Signature:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
