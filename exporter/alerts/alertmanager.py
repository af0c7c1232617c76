"""The API v2 of Alertmanagers: one, several of one cluster, or several that do not know each other; and its silences.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml, the same from 0.25 to the newest.
"""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from exporter.config.settings import Alertmanager, Config
from exporter.errors import AlertmanagerError, ConfigError
from exporter.redaction import Redactor, hide_addresses, parts_of_url

# Imported where a request is made: it is a third of what `serve` imports, and not all send manual alerts.
if TYPE_CHECKING:
    import requests

GOSSIP_SECONDS = 3.0
"""How long a silence may take to reach the other members of a cluster; they gossip every 0.2 s."""

Json = dict[str, Any]

_MATCHER = re.compile(r"(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<operator>!=|=~|!~|=)\s*(?P<value>.*)", re.DOTALL)


class Alertmanagers:
    """All Alertmanagers. Methods block for `timeout_seconds` of the settings at most, whatever hangs."""

    def __init__(self, urls: Sequence[str], settings: Alertmanager) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self._settings = settings

    def alerts(self) -> tuple[dict[str, list[Json]], dict[str, str]]:
        """Return the alerts of each one, by address, and the problems of those that do not answer."""
        return self._each(lambda url: self._ask(url, "GET", "/api/v2/alerts").json())

    def post(self, alerts: Sequence[Json]) -> dict[str, str]:
        """Send alerts to all; the same labels are one alert everywhere. Return the problems by address."""
        return self._each(lambda url: self._ask(url, "POST", "/api/v2/alerts", json=list(alerts)))[1]

    def silence(self, silence: Json) -> tuple[dict[str, str], dict[str, str]]:
        """Create a silence; return its ids, each with its address, and the problems by address.

        It is created at the first that answers; a cluster passes it on. An Alertmanager that does not know it after
        GOSSIP_SECONDS is not a member, and gets one of its own.
        """
        created: dict[str, str] = {}
        problems: dict[str, str] = {}
        for url in self.urls:
            try:
                if not any(self._learns(url, silence_id) for silence_id in created):
                    identifier = self._ask(url, "POST", "/api/v2/silences", json=silence).json()["silenceID"]
                    created[str(identifier)] = url
            except AlertmanagerError as error:
                problems[url] = str(error)
        return created, problems

    def find_silence(self, identifier: str) -> tuple[Json | None, dict[str, str]]:
        """Return a silence from the first that knows it, or None; and the problems by address."""
        found, problems = self._each(lambda url: self._silence(url, identifier))
        return next((silence for silence in found.values() if silence), None), problems

    def expire(self, identifier: str) -> dict[str, str]:
        """End a silence wherever it is known; return the problems by address."""

        def end(url: str) -> None:
            known = self._silence(url, identifier)
            if known and known["status"]["state"] != "expired":
                self._ask(url, "DELETE", f"/api/v2/silence/{identifier}")

        return self._each(end)[1]

    def _learns(self, url: str, identifier: str) -> bool:
        deadline = time.monotonic() + GOSSIP_SECONDS
        while self._silence(url, identifier) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _silence(self, url: str, identifier: str) -> Json | None:
        answer = self._ask(url, "GET", f"/api/v2/silence/{identifier}", missing_ok=True)
        silence: Json | None = answer.json() if answer.ok else None
        return silence

    def _each(self, ask: Callable[[str], Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Ask all at once; return answers and problems by address."""
        answers: dict[str, Any] = {}
        problems: dict[str, str] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(self.urls))) as pool:
            asked = {url: pool.submit(ask, url) for url in self.urls}
        for url, future in asked.items():
            try:
                answers[url] = future.result()
            except AlertmanagerError as error:
                problems[url] = str(error)
        return answers, problems

    def _ask(
        self, url: str, method: str, path: str, *, json: object = None, missing_ok: bool = False
    ) -> "requests.Response":
        """Send a request. Raises AlertmanagerError, with what the Alertmanager answered."""
        import requests

        settings, shown = self._settings, hide_addresses(url)
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy, no ~/.netrc
                answer = session.request(
                    method, url + path, json=json, timeout=settings.timeout_seconds, auth=_Auth(settings),
                    verify=settings.ca_file or True,
                )  # fmt: skip
        except requests.RequestException as error:
            raise AlertmanagerError(f"Alertmanager at {shown} does not answer: {_reason(error)}") from None
        if not answer.ok and not (missing_ok and answer.status_code == requests.codes.not_found):
            text = " ".join(Redactor(settings, parts_of_url(url))(answer.text).split())[:300]
            raise AlertmanagerError(f"Alertmanager at {shown} answers {answer.status_code} to {method} {path}: {text}")
        return answer


def from_config(config: Config) -> Alertmanagers:
    """Return the Alertmanagers that a configuration names. Raises ConfigError where it names none."""
    urls = config.alertmanager.urls or tuple(filter(None, [config.stack.alertmanager_url]))
    if not urls:
        raise ConfigError(
            "`alertmanager.urls` is missing: expected the addresses of all Alertmanagers, http://HOST:PORT"
        )
    return Alertmanagers(urls, config.alertmanager)


def parse_matcher(text: str) -> Json:
    """Return a matcher of the API for NAME=VALUE, != =~ or !~; quotes around the value are left out.

    Raises ConfigError.
    """
    match = _MATCHER.fullmatch(text.strip())
    if not match:
        raise ConfigError(f"invalid matcher {text!r}: expected NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX")
    value, operator = match["value"], match["operator"]
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return {"name": match["name"], "value": value, "isRegex": "~" in operator, "isEqual": "!" not in operator}


def new_silence(matchers: Sequence[str], lasts: timedelta, by: str, comment: str, now: datetime) -> Json:
    """Return a silence as Alertmanager's API takes it. Raises ConfigError."""
    parsed = [parse_matcher(text) for text in matchers]
    if all(map(_matches_absent_label, parsed)):
        raise ConfigError(
            f"{' '.join(matchers)} also matches alerts without these labels: expected at least one matcher that does "
            "not match an empty value, e.g. app=shop"
        )
    return {
        "matchers": parsed,
        "startsAt": now.isoformat(),
        "endsAt": (now + lasts).isoformat(),
        "createdBy": by,
        "comment": comment,
    }


def _matches_absent_label(parsed: Json) -> bool:
    """Tell whether an absent label satisfies a matcher; a silence of only such ones would mute nearly everything."""
    if parsed["isRegex"]:
        try:
            empty = re.fullmatch(parsed["value"], "") is not None
        except re.error:
            empty = False  # Alertmanager judges it: its expressions are RE2's
    else:
        empty = parsed["value"] == ""
    return bool(empty == parsed["isEqual"])


def describe_silence(silence: Json) -> str:
    """Return the matchers of a silence in a line."""
    signs = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    return " ".join(
        f'{one["name"]}{signs[one["isRegex"], one.get("isEqual", True)]}"{one["value"]}"' for one in silence["matchers"]
    )


class _Auth:
    def __init__(self, settings: Alertmanager) -> None:
        self._settings = settings

    def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        from requests.auth import HTTPBasicAuth

        settings = self._settings
        if settings.bearer_token:
            request.headers["Authorization"] = f"Bearer {settings.bearer_token.reveal()}"
        elif settings.username and settings.password:
            # As bytes: requests would encode a text in latin-1.
            HTTPBasicAuth(settings.username.encode(), settings.password.reveal().encode())(request)
        return request


def _reason(error: "requests.RequestException") -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; set `alertmanager.ca_file`"
    return "connection refused or lost" if isinstance(error, requests.ConnectionError) else type(error).__name__
