"""The dead man's switch: a real Alertmanager, exporter, mail server and webhook."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
import yaml
from click.testing import CliRunner

from exporter.commands.alerts import alerts
from exporter.config import loader
from exporter.errors import ConfigError
from tests.alertmanager.shipped import turned_to
from tests.alerts.notifying import alert, body
from tests.servers import Database, PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.receivers.mail import MailReceiver
from tools.stack.servers import Alertmanager
from tools.testing.exporter import Exporter, exporting, value

TOKEN, PASSWORD, WEBHOOK_TOKEN = "of-the-watchdog", "of the mail", "of-the-webhook"
GONE = "postgresql://nobody@127.0.0.1:1/nothing"
PREFIX = "platform_exporter_watchdog"
IMPATIENT = (
    "-c",
    "import exporter.__main__, exporter.config.settings as s; s.SHORTEST_ABSENCE_SECONDS = 1; exporter.__main__.main()",
)
"""The exporter, but an absence of seconds is allowed: the tests do not wait for minutes."""
SCRAPE = {"X-Prometheus-Scrape-Timeout-Seconds": "4"}


@pytest.fixture
def webhook() -> Iterator[HttpReceiver]:
    with HttpReceiver("webhook") as one:
        yield one


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[MailReceiver]:
    """Return a mail server that wants STARTTLS and a login; its authority is ca.pem."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "mail-ca.pem").write_bytes(authority.cert_pem.bytes())
    with MailReceiver(user="watchdog", password=PASSWORD, tls=context) as one:
        yield one


@pytest.fixture
def enter() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def configure(
    folder: Path,
    *,
    mail: MailReceiver | None = None,
    webhook: HttpReceiver | None = None,
    dsn: str = GONE,
    **changes: Any,
) -> str:
    """Return a configuration that needs no database, with secrets beside it."""
    folder.mkdir(exist_ok=True)
    watchdog: dict[str, Any] = {"token_file": "token", "missing_after_seconds": 2, "expect_scrapes": False} | changes
    secrets = {"token": TOKEN, "password": PASSWORD, "webhook_token": WEBHOOK_TOKEN}
    if mail:
        watchdog["mail"] = {
            "to": ["ops@example.com"], "sender": "watchdog@example.com", "server": mail.address,
            "username": "watchdog", "password_file": "password", "ca_file": "mail-ca.pem",
        }  # fmt: skip
    if webhook:
        watchdog["webhook"] = {"address_file": "address", "token_file": "webhook_token"}
        secrets["address"] = webhook.url
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
    content = {"database": {"dsn": dsn}, "sources": [], "state_folder": "state", "watchdog": watchdog}
    return yaml.safe_dump(content)


def post(exporter: Exporter, status: str = "firing", name: str = "PlatformWatchdog", token: str = TOKEN) -> str:
    """Post an alert as Alertmanager does; return the answer."""
    one = alert(0, None if status == "firing" else 1, name=name, severity="none")
    url, headers = f"{exporter.base}/api/v1/alerts/watchdog", {"Authorization": f"Bearer {token}"}
    return requests.post(url, json=body(one), headers=headers, timeout=60).text


def statuses(webhook: HttpReceiver) -> list[str]:
    return [arrival.content["status"] for arrival in webhook.arrivals]


def test_people_are_notified_when_it_stays_away_and_when_it_is_back(
    tmp_path: Path, enter: ExitStack, mail: MailReceiver, webhook: HttpReceiver
) -> None:
    """By mail and webhook, each once; no secret is logged, and the messages say what a person needs."""
    configuration = configure(tmp_path, mail=mail, webhook=webhook)
    exporter = enter.enter_context(exporting(tmp_path, configuration, ready=False, program=IMPATIENT))
    assert post(exporter) == "seen\n"
    poll_until(lambda: mail.arrivals and webhook.arrivals)
    poll_until(lambda: value(exporter.metrics(), f"{PREFIX}_missing") == 1)
    assert post(exporter, "resolved").startswith("ignored")
    assert post(exporter, name="PlatformComponentDown").startswith("ignored")
    poll_until(lambda: post(exporter) and len(mail.arrivals) >= 2 and len(webhook.arrivals) >= 2)
    first, second = mail.arrivals[0].content, mail.arrivals[1].content

    assert first["Subject"] == "[CRITICAL] Alerting does not work: the watchdog has not come for 2 s"
    assert second["Subject"] == "[RESOLVED] Alerting works again"
    assert "Prometheus does not scrape this exporter either" in first.get_body(("plain",)).get_content()
    assert statuses(webhook)[:2] == ["firing", "resolved"]
    assert webhook.arrivals[0].headers["Authorization"] == f"Bearer {WEBHOOK_TOKEN}"
    assert webhook.arrivals[0].content["text"].startswith(first["Subject"])
    assert mail.problems + webhook.problems == []
    assert not any(secret in exporter.log for secret in (TOKEN, PASSWORD, WEBHOOK_TOKEN))


def test_a_restart_neither_forgets_nor_repeats(tmp_path: Path, webhook: HttpReceiver) -> None:
    """Who was notified before it was killed is notified of the end by the next one."""
    configuration = configure(tmp_path, webhook=webhook)
    with exporting(tmp_path, configuration, ready=False, program=IMPATIENT) as first:
        poll_until(lambda: webhook.arrivals)
        poll_until(lambda: value(first.metrics(), f"{PREFIX}_last_message_successful", channel="webhook") == 1)
    state = json.loads((tmp_path / "state/watchdog.json").read_text())
    with exporting(tmp_path, configuration, ready=False, program=IMPATIENT) as second:
        poll_until(lambda: value(second.metrics(), f"{PREFIX}_missing") == 1)
        assert statuses(webhook) == ["firing"]
        poll_until(lambda: post(second) == "seen\n" and len(webhook.arrivals) > 1)

        assert statuses(webhook)[:2] == ["firing", "resolved"]
    assert state["notified_at"].keys() == {"webhook"}


def test_a_channel_that_fails_is_tried_again(tmp_path: Path, enter: ExitStack, webhook: HttpReceiver) -> None:
    """The other one is not held up, and the failure can be seen."""
    webhook.failing = True
    exporter = enter.enter_context(
        exporting(tmp_path, configure(tmp_path, webhook=webhook), ready=False, program=IMPATIENT)
    )
    poll_until(lambda: webhook.attempts >= 2)
    poll_until(lambda: value(exporter.metrics(), f"{PREFIX}_last_message_successful", channel="webhook") == 0)
    webhook.failing = False
    poll_until(lambda: webhook.arrivals)

    assert "webhook: it answers 503" in exporter.log
    assert webhook.url not in exporter.log


def test_scrapes_are_expected_too(tmp_path: Path, enter: ExitStack, webhook: HttpReceiver) -> None:
    """A watchdog of another Prometheus does not stand for the one that scrapes this exporter."""
    configuration = configure(tmp_path, webhook=webhook, expect_scrapes=True, missing_after_seconds=4)
    exporter = enter.enter_context(exporting(tmp_path, configuration, ready=False, program=IMPATIENT))

    def alive() -> bool:
        post(exporter)
        return bool(webhook.arrivals)

    poll_until(alive, interval_seconds=0.3)
    [arrival] = webhook.arrivals
    assert "Prometheus has not scraped this exporter" in arrival.content["text"]

    def scraped() -> bool:
        exporter.get("/metrics", headers=SCRAPE)
        post(exporter)
        return "resolved" in statuses(webhook)

    poll_until(scraped, interval_seconds=0.3)


def test_two_replicas_notify_once(tmp_path: Path, enter: ExitStack, store: Database, webhook: HttpReceiver) -> None:
    """Both miss it; the one that holds the lock in the event store sends, and the other follows if it ends."""
    folders = [tmp_path / "one", tmp_path / "two"]
    texts = [configure(folder, webhook=webhook, dsn=store.dsn) for folder in folders]
    replicas = [
        enter.enter_context(exporting(folder, text, ready=False, program=IMPATIENT))
        for folder, text in zip(folders, texts, strict=True)
    ]
    poll_until(lambda: webhook.arrivals)
    for one in replicas:
        poll_until(lambda: value(one.metrics(), f"{PREFIX}_missing") == 1)  # noqa: B023
    sender = poll_until(lambda: next((one for one in replicas if "notified by" in one.log), None))
    other = next(one for one in replicas if one is not sender)
    poll_until(lambda: "watchdog: the watchdog has not come" in other.log)
    assert statuses(webhook) == ["firing"]
    sender.process.kill()
    poll_until(lambda: len(webhook.arrivals) == 2)
    # Said once the receiver has answered, so after the arrival.
    poll_until(lambda: "notified by webhook" in other.log)


def test_only_the_token_counts(tmp_path: Path, enter: ExitStack, webhook: HttpReceiver) -> None:
    """Whoever lacks it could keep the switch quiet."""
    configuration = configure(tmp_path, webhook=webhook, missing_after_seconds=3600)
    exporter = enter.enter_context(exporting(tmp_path, configuration, ready=False, program=IMPATIENT))

    assert post(exporter, token="wrong").startswith("expected the token of `watchdog.token_file`")
    assert f"{PREFIX}_last_seen_timestamp_seconds" not in exporter.metrics()
    assert post(exporter) == "seen\n"
    assert value(exporter.metrics(), f"{PREFIX}_last_seen_timestamp_seconds")


def test_a_reload_goes_on(tmp_path: Path, enter: ExitStack, webhook: HttpReceiver) -> None:
    """What was seen stays seen, with other settings."""
    text = configure(tmp_path, webhook=webhook, missing_after_seconds=3600)
    exporter = enter.enter_context(exporting(tmp_path, text, ready=False, program=IMPATIENT))
    post(exporter)
    seen = value(exporter.metrics(), f"{PREFIX}_last_seen_timestamp_seconds")
    exporter.config.write_text(configure(tmp_path, webhook=webhook, missing_after_seconds=1800))

    assert exporter.reload().ok
    assert value(exporter.metrics(), f"{PREFIX}_last_seen_timestamp_seconds") == seen


@pytest.mark.parametrize(
    ("watchdog", "problem"),
    [
        ({"token": "x"}, "`watchdog.token`: expected `token_file`, and `mail` or `webhook` or both"),
        ({"webhook": {"address": "http://h/"}}, "`watchdog.token`: expected `token_file`, and `mail` or `webhook`"),
        ({"token": "x", "webhook": {"address": "hooks.example"}}, "`watchdog.webhook.address`: expected http://"),
        ({"token": "x", "mail": {"to": [], "sender": "a@b", "server": "h:25"}}, "`watchdog.mail.to`"),
        (
            {"token": "x", "mail": {"to": ["a@b"], "sender": "a@b", "server": "h"}},
            "`watchdog.mail.server`: expected HOST",
        ),
    ],
)
def test_an_incomplete_switch_is_refused(tmp_path: Path, watchdog: dict[str, Any], problem: str) -> None:
    """A switch that could tell nobody would be trusted."""
    text = yaml.safe_dump({"database": {"dsn": GONE}, "watchdog": watchdog})
    with pytest.raises(ConfigError) as error:
        loader.parse(text, tmp_path / "platform-exporter.yml", {})

    assert problem in str(error.value)
    assert "hooks.example" not in str(error.value)


def test_alertmanager_posts_it_as_shipped(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    tmp_path: Path,
    enter: ExitStack,
    webhook: HttpReceiver,
) -> None:
    """The shipped routes with a channel to the switch; the end of the alert is not posted."""
    exporter = enter.enter_context(
        exporting(tmp_path, configure(tmp_path, webhook=webhook, missing_after_seconds=3600), ready=False)
    )
    config = turned_to("http://127.0.0.1:1/", tmp_path / "am")
    address = f"{exporter.base}/api/v1/alerts/watchdog"
    channel = f"{{url: {address}, send_resolved: false, http_config: {{authorization: {{credentials: {TOKEN}}}}}}}"
    text = config.read_text().replace(
        "  - name: watchdog  # amlint: disable=empty-receiver", f"  - name: watchdog\n    webhook_configs: [{channel}]"
    )
    config.write_text(text)
    server = start_alertmanager(config, binary=prometheus_binaries.alertmanager)
    alerts = [{"labels": {"alertname": "PlatformWatchdog", "severity": "none"}}]
    requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=60).raise_for_status()

    poll_until(lambda: value(exporter.metrics(), f"{PREFIX}_last_seen_timestamp_seconds"))


def test_a_trial_says_which_channel_works(tmp_path: Path, mail: MailReceiver, webhook: HttpReceiver) -> None:
    """Before it is needed; the exit status says whether all did."""
    config = tmp_path / "platform-exporter.yml"
    config.write_text(configure(tmp_path, missing_after_seconds=300, mail=mail, webhook=webhook))
    good = CliRunner().invoke(alerts, ["test-watchdog", "--config", str(config)])
    (tmp_path / "password").write_text("wrong")
    bad = CliRunner().invoke(alerts, ["test-watchdog", "--config", str(config)])

    assert (good.exit_code, good.output) == (0, "mail: sent\nwebhook: sent\n")
    assert bad.exit_code == 1
    assert f"mail: mail server {mail.address}: it refuses user and password" in bad.output
    assert mail.arrivals[0].content["Subject"] == "[TRIAL] The watchdog's way to you works"
    assert "wrong" not in bad.output
