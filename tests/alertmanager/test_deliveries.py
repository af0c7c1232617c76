"""Every kind of channel delivers: real Alertmanagers, a real mail server, and services that refuse a wrong shape."""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from alertmanager import generate
from tests.alertmanager.shipped import FOLDER, laid_out, post
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.base import ReceivedMessage
from tools.stack.receivers.http import HttpReceiver
from tools.stack.receivers.mail import MailReceiver
from tools.stack.servers import Alertmanager

OLD = ("slack", "pagerduty", "webhook", "opsgenie", "webex", "victorops")
NEW = ("teams", "discord", "telegram", "mattermost", "rocketchat")
PASSWORD, TOKEN, ROUTING_KEY = "of the mail", "of the tickets", "0123456789abcdef0123456789ABCDEF"
ALERT = {
    "alertname": "PlatformHttpErrorsHigh",
    "severity": "critical",
    "app": "shop & co",
    "indicator": "http_error_ratio",
}
ANNOTATIONS = {
    "summary": "shop & co fails 7 % of its requests",
    "description": "7 % of the requests of shop & co failed over 5 minutes; critical above 5 %.",
    "runbook_url": "http://runbook.example/?var-alert=PlatformHttpErrorsHigh#platformhttperrorshigh",
    "dashboard_url": "http://grafana.example/d/platform-http/http?var-app=shop%20%26%20co",
}
Services = dict[str, HttpReceiver | MailReceiver]


@pytest.fixture
def services() -> Iterator[Services]:
    """Return one receiver of each kind; the mail server wants STARTTLS and a login."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ExitStack() as stack:
        started: Services = {name: stack.enter_context(HttpReceiver(name)) for name in (*OLD, *NEW)}
        mail = stack.enter_context(MailReceiver(password=PASSWORD, tls=context))
        mail.authority = authority.cert_pem.bytes()  # type: ignore[attr-defined]
        yield {**started, "email": mail}


def channels(services: Services, folder: Path, generation: str) -> Path:
    """Write a file of channels, and the secrets that it names, in which every severity goes everywhere."""
    secrets = {f"{name}_url": services[name].url for name in (*OLD, *NEW)}  # type: ignore[union-attr]
    secrets |= {"password": PASSWORD, "token": TOKEN, "genie": TOKEN, "key": ROUTING_KEY}
    for name, secret in secrets.items():
        # Alertmanager 0.25 sends the newline at the end of some.
        (folder / name).write_text(secret if name in ("password", "genie") else f"{secret}\n")
    (folder / "ca.pem").write_bytes(services["email"].authority)  # type: ignore[union-attr]
    mail = {"to": "ops@example.com", "from": "am@example.com", "smarthost": services["email"].address}  # type: ignore[union-attr]
    webhook = {"url": secrets["webhook_url"]} if generation == "stable" else {"url_file": "webhook_url"}
    made: dict[str, dict[str, Any]] = {
        "email": {**mail, "username": "alertmanager", "password_file": "password", "ca_file": "ca.pem"},
        "slack": {"url_file": "slack_url", "channel": "#ops"},
        "pagerduty": {"routing_key_file": "key", "url": secrets["pagerduty_url"]},
        "webhook": {**webhook, "token_file": "token"},
        "opsgenie": {"url": secrets["opsgenie_url"], "api_key_file": "genie"},
        "webex": {"url": secrets["webex_url"], "room_id": "ops", "token_file": "token"},
        "victorops": {"url": secrets["victorops_url"], "api_key_file": "key", "routing_key": "ops"},
    }
    if generation == "newest":
        made |= {name: {"url_file": f"{name}_url"} for name in ("teams", "discord", "mattermost")}
        made["telegram"] = {"url": secrets["telegram_url"].rstrip("/"), "bot_token_file": "key", "chat_id": -100}
        made["rocketchat"] = {
            "url": secrets["rocketchat_url"].rstrip("/"),
            "token_file": "token",
            "token_id_file": "key",
            "channel": "#ops",
        }
    content = yaml.safe_load((FOLDER / "channels.yml").read_text()) | {
        "alertmanager": "0.25" if generation == "stable" else "0.33",
        "secrets": str(folder),
        "channels": {name: {"kind": name, **keys} for name, keys in made.items()},
    }
    content["notify"] = {name: list(made) if names else [] for name, names in content["notify"].items()}
    (folder / "channels.yml").write_text(yaml.safe_dump(content))
    return folder / "channels.yml"


@pytest.fixture
def alertmanager(
    prometheus_binaries: PrometheusBinaries,
    # Before the next: so they end after it, and no connection is left open.
    services: Services,
    start_alertmanager: Callable[..., Alertmanager],
    tmp_path: Path,
) -> Alertmanager:
    """Return an Alertmanager that notifies all services; the timers of `critical` are a second long."""
    text = generate.configuration(channels(services, tmp_path, prometheus_binaries.generation))
    text = text.replace("group_wait: 5s", "group_wait: 1s").replace("group_interval: 10s", "group_interval: 1s")
    flags = ["--web.external-url=http://alertmanager.example"]
    config = laid_out(text, tmp_path / "am")
    return start_alertmanager(config, binary=prometheus_binaries.alertmanager, flags=flags)


def notified(services: Services, generation: str) -> list[HttpReceiver | MailReceiver]:
    """Return the services that this generation of Alertmanager knows."""
    return [one for name, one in services.items() if generation == "newest" or name not in NEW]


def words(arrival: ReceivedMessage) -> str:
    """Return all that a message says, as one text."""
    if isinstance(arrival.content, dict):
        return str(arrival.content)
    parts = [part.get_content() for part in arrival.content.iter_parts()]
    return "\n".join([arrival.content["Subject"], *parts])


def test_every_channel_tells_and_tells_of_the_end(
    alertmanager: Alertmanager, services: Services, prometheus_binaries: PrometheusBinaries
) -> None:
    """Each service gets one message of the alert and one of its end, of its documented shape, with what people need."""
    receivers = notified(services, prometheus_binaries.generation)
    post(alertmanager, ALERT, annotations=ANNOTATIONS)
    poll_until(lambda: all(one.arrivals for one in receivers))
    post(alertmanager, ALERT, annotations=ANNOTATIONS, resolved=True)
    poll_until(lambda: all(len(one.arrivals) > 1 for one in receivers))

    assert {one.name: one.problems for one in receivers if one.problems} == {}
    assert {one.name: len(one.arrivals) for one in receivers} == {one.name: 2 for one in receivers}
    for one in receivers:
        first = words(one.arrivals[0]).replace("&amp;", "&")
        assert ANNOTATIONS["summary"] in first, one.name
        assert ANNOTATIONS["description"] in first, one.name
        assert ANNOTATIONS["runbook_url"] in first, one.name
        assert ANNOTATIONS["dashboard_url"] in first, one.name
        if one.name != "webhook":
            assert "http://alertmanager.example/#/silences/new?filter=%7B" in first, one.name
            # Opsgenie is only told to close the alert.
            assert "lasted " in words(one.arrivals[1]) or one.name == "opsgenie", one.name
            assert "RESOLVED" in words(one.arrivals[1]) or one.name == "opsgenie", one.name


@pytest.mark.parametrize(
    ("longer", "most_bytes"),
    [("", 8_000), ("der Anteil der Fehler überschreitet die Grenze, ", 8_000), ("<日本語> & ", 20_000)],
)
def test_ninety_alerts_of_one_app_are_one_short_message(
    alertmanager: Alertmanager,
    services: Services,
    prometheus_binaries: PrometheusBinaries,
    longer: str,
    most_bytes: int,
) -> None:
    """Below 8 kB in every channel that people read, however long the texts are; the rest is counted and linked."""
    alerts = [{**ALERT, "alertname": "PlatformApiSuccessLow", "api": f"api-{n:02}"} for n in range(90)]
    annotations = {name: text + ("" if "url" in name else longer * 100) for name, text in ANNOTATIONS.items()}
    receivers = [one for one in notified(services, prometheus_binaries.generation) if one.name != "webhook"]
    post(alertmanager, *alerts, annotations=annotations, began_seconds_ago=0)
    poll_until(lambda: all(one.arrivals for one in receivers))

    assert {one.name: one.problems for one in receivers if one.problems} == {}
    for one in receivers:
        first = one.arrivals[0]
        assert 0 < first.length_bytes < most_bytes, one.name
        assert re.search(r"and \W*80 more", re.sub(r"<a [^>]*>|<http[^|]*\|", "", words(first))), one.name
        assert "+89 more" in words(first), one.name
        assert "\ufffd" not in words(first), one.name


def test_what_is_particular_to_each_service(
    alertmanager: Alertmanager, services: Services, prometheus_binaries: PrometheusBinaries
) -> None:
    """PagerDuty opens and closes one incident; e-mail has its subject, Slack its colours; secrets come from files."""
    post(alertmanager, ALERT, annotations=ANNOTATIONS)
    poll_until(lambda: all(one.arrivals for one in notified(services, prometheus_binaries.generation)))
    post(alertmanager, ALERT, annotations=ANNOTATIONS, resolved=True)
    poll_until(lambda: all(len(one.arrivals) > 1 for one in notified(services, prometheus_binaries.generation)))
    [opened, closed] = [one.content for one in services["pagerduty"].arrivals]
    [red, green] = [one.content["attachments"][0] for one in services["slack"].arrivals]

    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]
    assert opened["routing_key"] == ROUTING_KEY
    assert opened["payload"]["severity"] == "critical"
    assert opened["payload"]["source"] == opened["payload"]["group"] == "shop & co"
    assert [link["text"] for link in opened["links"]] == ["Runbook", "Dashboard", "Silence"]
    assert (red["color"], green["color"]) == ("danger", "good")
    assert services["email"].arrivals[0].content["Subject"] == f"[CRITICAL] {ANNOTATIONS['summary']}"
    assert services["webhook"].arrivals[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert services["webex"].arrivals[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert services["opsgenie"].arrivals[0].headers["Authorization"] == f"GenieKey {TOKEN}"
    assert services["opsgenie"].arrivals[0].content["priority"] == "P1"
    assert [one.content["message_type"] for one in services["victorops"].arrivals] == ["CRITICAL", "RECOVERY"]


def test_a_service_that_fails_is_tried_again(alertmanager: Alertmanager, services: Services) -> None:
    """What could not be delivered comes when the service is back, once; the others do not wait for it."""
    pager, slack = services["pagerduty"], services["slack"]
    assert isinstance(pager, HttpReceiver)
    pager.failing = True
    post(alertmanager, ALERT, annotations=ANNOTATIONS)
    poll_until(lambda: pager.attempts >= 2 and slack.arrivals)
    pager.failing = False
    poll_until(lambda: pager.arrivals)

    assert len(pager.arrivals) == 1
    assert len(slack.arrivals) == 1
