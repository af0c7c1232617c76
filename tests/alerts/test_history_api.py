"""The route that Alertmanager posts to: who may, what is accepted, what it answers where nothing can be stored."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import psycopg
import pytest
import requests

from exporter.alerts import history_api
from exporter.alerts.notification import MOST_BODY_BYTES, HistoryAlert, Notification
from exporter.errors import SpoolError
from exporter.sections import Secret
from exporter.web.routes import build_app
from tests.alerts.notifying import alert, body
from tests.exposition.serving import FakeSite, Running, serving

TOKEN = Secret("t0ken-ü")
BEARER = {"Authorization": "Bearer t0ken-ü".encode()}


@dataclass
class Inbox:
    """Store notifications in a list, or refuse them."""

    stored: list[Notification[HistoryAlert]] = field(default_factory=list)
    error: Exception | None = None
    token: Secret | None = TOKEN

    def receive(self, notification: Notification[HistoryAlert]) -> None:
        """Store it, or raise what the test set."""
        if self.error:
            raise self.error
        self.stored.append(notification)


@pytest.fixture
def inbox() -> Inbox:
    """Return an empty one."""
    return Inbox()


@pytest.fixture
def running(inbox: Inbox) -> Iterator[Running]:
    """Return a server with the receiver."""
    with serving(build_app(FakeSite(), [history_api.route(lambda: (inbox.token, inbox))])) as running:
        yield running


def send(running: Running, payload: Any = None, **options: Any) -> requests.Response:
    options = {"json": body(alert(0)) if payload is None else payload, "headers": BEARER} | options
    return requests.post(running.url(history_api.PATH), timeout=60, **options)


def test_a_notification_is_stored(running: Running, inbox: Inbox) -> None:
    """What Alertmanager sends is answered with 200 once it is stored."""
    answer = send(running)

    assert (answer.status_code, answer.text) == (200, "stored\n")
    assert inbox.stored[0].alerts[0].labels["alertname"] == "Down"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer t0ken", "Bearer t0ken-u", "Bearer t0ken-ü-", "Token t0ken-ü", "Basic t0ken-ü", "Basic YTpi"],
)
def test_only_who_has_the_token_may_post(running: Running, inbox: Inbox, authorization: str) -> None:
    """Anything else is 401, with the expected scheme and without a word about the token."""
    answer = send(running, headers={"Authorization": authorization.encode()})

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "t0ken" not in answer.text
    assert inbox.stored == []


def test_without_a_token_nothing_is_accepted(running: Running, inbox: Inbox) -> None:
    """The answer says what to set."""
    inbox.token = None
    answer = send(running)

    assert answer.status_code == 404
    assert "set `alerts.token_file`" in answer.text


def test_users_of_the_web_configuration_send_the_token_as_password(inbox: Inbox, tmp_path: Path) -> None:
    """A request has one Authorization header: its password satisfies both locks, another user's does not."""
    hashed = {name: bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode() for name, word in
              (("alertmanager", "secret"), ("prometheus", "other"))}  # fmt: skip
    config = tmp_path / "web.yml"
    config.write_text("basic_auth_users:\n" + "".join(f"  {name}: {value}\n" for name, value in hashed.items()))
    inbox.token = Secret("secret")
    app = build_app(FakeSite(), [history_api.route(lambda: (inbox.token, inbox))])
    with serving(app, config) as running:
        answers = [
            send(running, headers={}, auth=pair).status_code
            for pair in (("alertmanager", "secret"), ("prometheus", "other"), ("alertmanager", "other"))
        ]
        bearer = send(running, headers={"Authorization": "Bearer secret"}).status_code

    assert (answers, bearer) == ([200, 401, 401], 401)
    assert len(inbox.stored) == 1


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ([], "Expected `object`, got `array`"),
        (body() | {"version": "3"}, "Invalid enum value '3' - at `$.version`"),
        ({"version": "4", "status": "firing", "receiver": "a", "alerts": []}, "missing required field `groupKey`"),
        (body(alert(0) | {"status": "pending"}), "Invalid enum value 'pending' - at `$.alerts[0].status`"),
        (body(alert(0) | {"startsAt": "2026-01-02T03:04:05"}), "timezone component - at `$.alerts[0].startsAt`"),
        (body(alert(0) | {"startsAt": "yesterday"}), "Invalid RFC3339 encoded datetime - at `$.alerts[0].startsAt`"),
        (body(alert(0) | {"fingerprint": ""}), "length >= 1 - at `$.alerts[0].fingerprint`"),
        (body() | {"truncatedAlerts": -1}, "Expected `int` >= 0 - at `$.truncatedAlerts`"),
        (body() | {"truncatedAlerts": 2**63}, "at `$.truncatedAlerts`"),
        (body(alert(0) | {"startsAt": "0001-01-01T00:00:00+23:00"}), "invalid `startsAt` 0001-01-01 00:00:00+23:00"),
        (body(alert(0) | {"endsAt": "9999-12-31T23:59:59-23:00"}), "expected a time of the years 1 to 9999 in UTC"),
        (body(alert(0) | {"labels": {"a": 1}}), "Expected `str`, got `int` - at `$.alerts[0].labels[...]`"),
    ],
)
def test_an_invalid_notification_is_refused(running: Running, inbox: Inbox, payload: Any, words: str) -> None:
    """400, which Alertmanager does not try again, with what was expected where."""
    answer = send(running, payload)

    assert answer.status_code == 400
    assert words in answer.text
    assert inbox.stored == []


@pytest.mark.parametrize("sent", ["[" * 30_000, '{"a":' * 30_000, '{"labels":' * 30_000])
def test_deep_nesting_is_refused(running: Running, sent: str) -> None:
    """It is an invalid notification, not an error of the exporter."""
    headers = BEARER | {"Content-Type": "application/json"}
    answer = requests.post(running.url(history_api.PATH), data=sent, headers=headers, timeout=60)

    assert answer.status_code == 400


def test_another_type_is_refused(running: Running) -> None:
    """A form is not JSON."""
    assert send(running, json=None, data={"a": "b"}).status_code == 415


def test_a_body_without_end_is_refused(running: Running, inbox: Inbox) -> None:
    """Past the limit nothing more is read; chunked, so that no length is announced."""
    chunks = (b" " * 65_536 for _ in range(MOST_BODY_BYTES // 65_536 + 1))
    answer = send(running, json=None, data=chunks, headers=BEARER | {"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert inbox.stored == []


@pytest.mark.parametrize("error", [SpoolError("no room"), psycopg.OperationalError("gone")])
def test_what_cannot_be_stored_now_is_sent_again(running: Running, inbox: Inbox, error: Exception) -> None:
    """503: Alertmanager tries again."""
    inbox.error = error
    answer = send(running)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "gone" not in answer.text


def test_what_can_never_be_stored_is_not_sent_again(running: Running, inbox: Inbox) -> None:
    """422: trying again would not help."""
    inbox.error = psycopg.DataError("odd")

    assert send(running).status_code == 422


def test_only_posts_are_answered(running: Running) -> None:
    """A browser that follows the address sees that it is none for it."""
    assert requests.get(running.url(history_api.PATH), headers=BEARER, timeout=60).status_code == 405
