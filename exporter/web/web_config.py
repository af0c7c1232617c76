"""The file of `--web.config.file`, in exporter-toolkit's format: TLS, basic authentication, headers, rate limit.

The file and those it names are read again when they change: certificates and users rotate without a restart. Outcomes
are the toolkit's, as tests/exposition/web_config_cases.py shows, but for two. HTTP/2 is not spoken. And an invalid file
that comes later is logged once and changes nothing, where the toolkit refuses everybody until it is right again.
Format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from OpenSSL import SSL
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.config import strict_yaml
from exporter.config.places import Place, place_of
from exporter.errors import UnreadableError, WebConfigError
from exporter.files import YAML_BYTES, read_text
from exporter.sections import Secret
from exporter.web import go_yaml
from exporter.web.basic_auth import HIGHEST_COST, LOWEST_COST, BasicAuthUsers, BcryptHash
from exporter.web.rate_limit import RateLimit, build_bucket
from exporter.web.tls import TlsServerConfig, build_context, certificate_expiry, check, one_of

logger = logging.getLogger(__name__)

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""The headers that may be set, and the values that each may have; none listed means any."""


class HttpServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section. `http2` has one effect: this server speaks HTTP/1.1, and refuses what HTTP/2 would forbid."""

    http2: bool = True
    headers: dict[str, str | None] = {}


class WebSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file as written."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, Secret | None] = {}
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

    def tls(self) -> SSL.Context | None:
        """Return the context for the next connection, or None where the server speaks plain HTTP."""
        return self._current().tls

    def certificate_expiry(self) -> float | None:
        """Return when the server's certificate expires, in Unix seconds; None without TLS."""
        return self._rules.certificate_expiry

    def identifies(self) -> bool:
        """Tell whether every client proves who it is: by a password, or by a certificate that was verified."""
        return self._current().identifies

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
            settings = parse(read_text(self._path, YAML_BYTES))
            named = settings.tls_server_config.files(folder) if settings.tls_server_config else []
            self._files, self._seen = [self._path, *named], before + _signature(named)
            return _Rules(settings, folder)
        except WebConfigError as error:
            raise WebConfigError(f"{self._path}: {error}") from error
        except UnreadableError as error:
            raise WebConfigError(f"{self._path}: cannot be read ({error}): expected a YAML file in UTF-8") from error


class _Rules:
    """One valid version of the file, ready for use."""

    def __init__(self, settings: WebSettings, folder: Path) -> None:
        """Raises WebConfigError."""
        http, tls = settings.http_server_config, settings.tls_server_config or TlsServerConfig()
        check(tls)
        self.headers = _check_headers(http.headers)
        self.limit = build_bucket(settings.rate_limit)
        self.users = BasicAuthUsers(_check_users(settings.basic_auth_users)) if settings.basic_auth_users else None
        self.tls = build_context(tls, folder, http2=http.http2) if tls.enabled else None
        self.certificate_expiry = certificate_expiry(tls, folder) if tls.enabled else None
        self.identifies = self.users is not None or tls.verifies

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
        tree = go_yaml.load(text, typed={"http2", "prefer_server_cipher_suites", "interval", "burst"})
    except strict_yaml.StrictYamlError as error:
        raise WebConfigError(f"invalid YAML: {error}") from None
    if tree is not None and not isinstance(tree, dict):
        raise WebConfigError(f"invalid {type(tree).__name__}: expected a mapping with keys such as `tls_server_config`")
    given = _without_nulls(tree or {})
    try:
        return _converted(given)
    except msgspec.ValidationError as error:
        raise WebConfigError(_explain(place_of(error, given, _converted))) from None


def _converted(tree: dict[Any, Any]) -> WebSettings:
    return msgspec.convert(tree, WebSettings, dec_hook=_decode)


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


def _explain(place: Place) -> str:
    """Put the key first, and leave out the value: it may be a secret."""
    where, problem = place.path, place.problem.replace("Object contains unknown field", "unknown key")
    if not problem.startswith("unknown key"):
        return f"`{where}`: {problem}"
    known = _SECTIONS.get(where, WebSettings).__struct_fields__
    return f"{problem}{f' in `{where}`' if where else ''}: expected one of {', '.join(known)}"


def _check_headers(headers: Mapping[str, str | None]) -> dict[str, str]:
    """Return the headers to add, as UTF-8 in latin-1's letters: so they are sent. One without a value is left out."""
    found = {}
    for name, given in headers.items():
        allowed, value = one_of("http_server_config.headers", name, HEADERS), given or ""
        if allowed:
            one_of(f"http_server_config.headers.{name}", value, dict.fromkeys(allowed))
        value = re.sub(r"[\r\n]", " ", value).strip(" \t").encode().decode("latin-1")
        if re.search(r"[\0-\x08\x0b-\x1f\x7f]", value):
            raise WebConfigError(
                f"invalid `http_server_config.headers.{name}` {given!r}: expected no control character"
            )
        if value:
            found[name] = value
    return found


def _check_users(users: Mapping[str, Secret | None]) -> dict[str, str]:
    hashes = {name: hashed.reveal() if hashed else "" for name, hashed in users.items()}
    for name, hashed in hashes.items():
        if BcryptHash.parse(hashed) is None:
            raise WebConfigError(
                f"invalid entry {name!r} in `basic_auth_users`: expected a bcrypt hash of cost {LOWEST_COST} to "
                f"{HIGHEST_COST}, as `htpasswd -nBC 10 USER` prints"
            )
        if ":" in name:
            logger.warning("`basic_auth_users`: nobody can sign in as %r, as a name ends at its first colon", name)
    return hashes


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
