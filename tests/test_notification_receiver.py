"""Post to the receiver as Alertmanager does."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.alerts.notification import MOST_BODY_BYTES
from exporter.alerts.notification_receiver import MOST_SHOWN, build_receiver
from exporter.errors import ConfigError
from tests.exposition.serving import Running, serving
from tests.servers import PATIENCE_SECONDS
from tools.stack.ports import free_port

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "PlatformApiFailing", "severity": "critical", "app": "scitex", **labels},
        "annotations": {"summary": "CrossRef fails 12 % of calls"},
        "startsAt": "2026-03-01T12:30:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "1a30ba71cca2921f",
    }


def payload(*alerts: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {
        "version": "4",
        "status": "firing",
        "receiver": "critical",
        "groupKey": '{}/{severity="critical"}:{alertname="PlatformApiFailing"}',
        "truncatedAlerts": 0,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": list(alerts) or [alert()],
        **changes,
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist yet."""
    return tmp_path / "notifications.jsonl"


@pytest.fixture
def out() -> io.StringIO:
    """Return what stands in for standard output."""
    return io.StringIO()


@pytest.fixture
def receiver(file: Path, out: io.StringIO) -> Iterator[Running]:
    """Serve a receiver whose clock stands still."""
    with serving(build_receiver(file, out, lambda: NOW)) as running:
        yield running


def post(receiver: Running, body: object, path: str = "/") -> requests.Response:
    return requests.post(receiver.url(path), json=body, timeout=60)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_notification_is_a_line_of_the_file(receiver: Running, file: Path) -> None:
    """A notification is stored as one JSON line, with its time and everything about its alerts."""
    answer = post(receiver, payload())

    assert answer.status_code == 200
    assert lines(file) == [
        {
            "received_at": "2026-03-01T12:34:56Z",
            "status": "firing",
            "receiver": "critical",
            "groupKey": '{}/{severity="critical"}:{alertname="PlatformApiFailing"}',
            "alerts": [alert()],
            "truncatedAlerts": 0,
        }
    ]


@pytest.mark.parametrize("path", ["/", "/alerts", "/a/b?c=d"])
def test_any_path_receives(receiver: Running, file: Path, path: str) -> None:
    """The path in Alertmanager's configuration does not matter."""
    assert post(receiver, payload(), path).status_code == 200
    assert len(lines(file)) == 1


def test_each_alert_is_a_line_for_people(receiver: Running, out: io.StringIO) -> None:
    """Standard output shows each alert's status, severity, name, subject and summary."""
    component = alert("resolved", app="", component="redis", name="main", severity="high")
    post(receiver, payload(alert(), component, truncatedAlerts=3))

    assert out.getvalue().splitlines() == [
        "12:34:56 [CRITICAL] CrossRef fails 12 % of calls, 1 resolved",
        "12:34:56 FIRING   critical PlatformApiFailing scitex: CrossRef fails 12 % of calls",
        "12:34:56 RESOLVED high     PlatformApiFailing redis main: CrossRef fails 12 % of calls",
        "12:34:56 and 3 more",
    ]


@pytest.mark.parametrize(
    ("statuses", "title"),
    [
        (["firing"] * 90, "[CRITICAL] CrossRef fails 12 % of calls +89 more"),
        (["resolved"] * 3, "[RESOLVED] CrossRef fails 12 % of calls +2 more"),
        (["resolved", "firing"], "[CRITICAL] CrossRef fails 12 % of calls, 1 resolved"),
    ],
)
def test_several_alerts_have_a_title_and_ten_lines(
    receiver: Running, out: io.StringIO, statuses: list[str], title: str
) -> None:
    """The title is that of mails and chats; of many alerts ten are shown, on the page too."""
    post(receiver, payload(*map(alert, statuses)))
    first, *others = out.getvalue().splitlines()
    page = requests.get(receiver.url("/"), timeout=60).text

    assert first == f"12:34:56 {title}"
    assert others[10:] == (["12:34:56 and 80 more"] if len(statuses) == 90 else [])
    assert page.count("<td>PlatformApiFailing</td>") == min(len(statuses), 10)
    assert ("and 80 more" in page) == (len(statuses) == 90)


def test_control_characters_do_not_reach_the_terminal(receiver: Running, out: io.StringIO) -> None:
    """An escape sequence in a label is not obeyed by a terminal."""
    post(receiver, payload(alert(app="\x1b[2J\nforged")))

    assert "PlatformApiFailing ?[2J forged: " in out.getvalue()


def test_bare_alert_is_described(receiver: Running, out: io.StringIO) -> None:
    """An alert without labels or annotations is printed, too."""
    post(receiver, payload({"status": "firing", "labels": {}}))

    assert out.getvalue() == "12:34:56 FIRING   -        - -: (no summary)\n"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (payload(version="3"), "Invalid enum value '3' - at `$.version`"),
        (payload(status="broken"), "Invalid enum value 'broken' - at `$.status`"),
        (payload(alerts={}), "Expected `array`, got `object` - at `$.alerts`"),
        (payload({"status": "firing"}), "Object missing required field `labels` - at `$.alerts[0]`"),
        ({"status": "firing"}, "Object missing required field `receiver`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_an_invalid_notification_is_refused(receiver: Running, file: Path, body: object, problem: str) -> None:
    """It gets 400 with the key and what was expected, and is not stored."""
    answer = post(receiver, body)

    assert answer.status_code == 400
    assert answer.text == (
        f"invalid notification: {problem}; expected version 4 of Alertmanager's webhook, with alerts that have "
        "status, labels, annotations, startsAt, endsAt, generatorURL, fingerprint\n"
    )
    assert file.read_text() == ""


def test_invalid_json_is_refused(receiver: Running) -> None:
    """A body that is not JSON gets 400."""
    headers = {"Content-Type": "application/json"}

    assert requests.post(receiver.url(), data=b"{", headers=headers, timeout=60).status_code == 400


def test_form_of_a_web_page_is_refused(receiver: Running) -> None:
    """A page in a browser cannot forge notifications: without JSON's content type they are refused."""
    headers = {"Content-Type": "text/plain"}

    assert requests.post(receiver.url(), data=json.dumps(payload()), headers=headers, timeout=60).status_code == 415


def test_body_is_bounded(receiver: Running, file: Path) -> None:
    """A body beyond the bound is refused."""
    answer = post(receiver, payload(alert(app="x" * MOST_BODY_BYTES)))

    assert (answer.status_code, file.read_text()) == (413, "")


def test_page_shows_the_newest_first(receiver: Running) -> None:
    """The page lists the notifications, the newest on top."""
    post(receiver, payload(alert(app="first")))
    post(receiver, payload(alert(app="second")))
    page = requests.get(receiver.url(), timeout=60).text

    assert 0 < page.index("<td>second</td>") < page.index("<td>first</td>")
    assert "<td>2026-03-01 12:34:56 UTC</td>" in page


def test_page_without_notifications(receiver: Running) -> None:
    """The page says so where nothing came yet."""
    assert "None yet" in requests.get(receiver.url(), timeout=60).text


def test_page_escapes(receiver: Running) -> None:
    """What stands in a label is text, never markup."""
    post(receiver, payload(alert(app="<script>")))
    page = requests.get(receiver.url(), timeout=60).text

    assert "<td>&lt;script&gt;</td>" in page
    assert "<script>" not in page


def test_api_gives_what_was_stored(receiver: Running, file: Path) -> None:
    """The API gives the lines of the file, the newest first."""
    post(receiver, payload(alert(app="first")))
    post(receiver, payload(alert(app="second")))
    answer = requests.get(receiver.url("/api/v1/notifications"), timeout=60).json()

    assert answer["notifications"] == lines(file)[::-1]


def test_only_the_last_are_shown(file: Path) -> None:
    """Of a long file the last notifications are shown, and memory is bounded."""
    line = {"received_at": "2026-03-01T12:34:56Z", "status": "firing", "receiver": "r", "groupKey": "", "alerts": []}
    file.write_text("".join(json.dumps({**line, "groupKey": str(number)}) + "\n" for number in range(MOST_SHOWN + 5)))
    with serving(build_receiver(file)) as receiver:
        shown = requests.get(receiver.url("/api/v1/notifications"), timeout=60).json()["notifications"]

    assert [one["groupKey"] for one in shown] == [str(number) for number in range(MOST_SHOWN + 4, 4, -1)]


def test_torn_line_costs_no_other(file: Path, out: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    """A line that a crash cut short is left where it is, and the next one stands on its own."""
    file.write_text('{"received_at": "2026-03-0')
    with serving(build_receiver(file, out, lambda: NOW)) as receiver:
        post(receiver, payload())

    assert file.read_text().splitlines()[0] == '{"received_at": "2026-03-0'
    assert json.loads(file.read_text().splitlines()[1])["receiver"] == "critical"
    assert "line 1 is not a notification" in caplog.text


def test_file_may_be_rotated(receiver: Running, file: Path) -> None:
    """A file that is moved away is created again, without a restart."""
    post(receiver, payload())
    file.rename(file.with_suffix(".1"))
    post(receiver, payload())

    assert len(lines(file)) == 1


def test_a_full_disk_is_reported_so_that_alertmanager_repeats(receiver: Running, file: Path, out: io.StringIO) -> None:
    """What cannot be stored is not confirmed: Alertmanager sends it again."""
    file.unlink()
    file.mkdir()
    answer = post(receiver, payload())

    assert (answer.status_code, out.getvalue()) == (500, "")


def test_without_file_nothing_is_stored(out: io.StringIO) -> None:
    """A file is not needed: the notifications are shown all the same."""
    with serving(build_receiver(None, out)) as receiver:
        post(receiver, payload())

        assert len(requests.get(receiver.url("/api/v1/notifications"), timeout=60).json()["notifications"]) == 1


def test_a_file_without_a_folder_is_refused(tmp_path: Path) -> None:
    """A file that cannot be created is an error before anything is served."""
    with pytest.raises(ConfigError, match=r"--file .*/none/n\.jsonl cannot be written \(No such file or directory\)"):
        build_receiver(tmp_path / "none" / "n.jsonl")


def test_healthy(receiver: Running) -> None:
    """The receiver answers that it is healthy."""
    assert requests.get(receiver.url("/-/healthy"), timeout=60).status_code == 200


def test_receive_runs_as_a_process(file: Path) -> None:
    """As a process of its own it stores, prints at once and ends with 0 on SIGTERM."""
    port = free_port()
    code = """
import logging, pathlib, sys
from exporter.alerts.notification_receiver import receive
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
receive("127.0.0.1", int(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""
    program = [sys.executable, "-c", code, str(port), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        assert "listening on" in child.stdout.readline()
        requests.post(f"http://127.0.0.1:{port}/", json=payload(), timeout=60)
        line = child.stdout.readline()
        child.send_signal(signal.SIGTERM)

        assert "FIRING   critical PlatformApiFailing scitex: CrossRef" in line
        assert child.wait(PATIENCE_SECONDS) == 0
    assert len(lines(file)) == 1
