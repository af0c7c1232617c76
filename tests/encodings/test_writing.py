"""What people and Alertmanager write is stored in any encoding: a letter that it lacks becomes a question mark."""

import json
from pathlib import Path

from click.testing import CliRunner

from exporter.__main__ import main
from exporter.alerts import history
from exporter.config.settings import Alerts
from exporter.database.connection import connect
from tests.aggregation.counting import Store, settings
from tests.alerts.notifying import alert, delivery

LACKING = {"UTF8": "", "SQL_ASCII": "", "LATIN1": "€🙂", "LATIN9": "🙂", "WIN1252": "🙂", "EUC_JP": "€🙂"}


def stored(text: str, encoding: str) -> str:
    return "".join("?" if letter in LACKING[encoding] else letter for letter in text)


def test_a_notification_is_recorded(store: Store, encoding: str) -> None:
    """No delivery waits for ever, and none behind it."""
    firing = alert(0, name="Grün")
    firing["annotations"] = {"summary": "Grün € 🙂"}
    with connect(settings(store.dsn), "test") as connection:
        assert history.record(connection, delivery(firing), Alerts())
        row = connection.execute("SELECT labels, annotations FROM monitoring.alert_notification").fetchone()

    assert row is not None
    assert (row[0]["alertname"], row[1]["summary"]) == ("Grün", stored("Grün € 🙂", encoding))


def test_a_change_of_an_issue_is_recorded(store: Store, encoding: str, tmp_path: Path) -> None:
    """With its note, and a filter of letters that the database lacks finds nothing rather than failing."""
    store.execute(
        "INSERT INTO monitoring.error (at, app, severity, error_type, fingerprint) VALUES (now(), %s, 'low', 'E', 'f')",
        ["Grün"],
    )
    store.poll("error")
    config = tmp_path / "platform-exporter.yml"
    config.write_text(json.dumps({"database": {"dsn": store.dsn}}))

    def run(*words: str) -> str:
        done = CliRunner().invoke(main, ["errors", *words, "--config", str(config)])
        assert done.exit_code == 0, done.output
        return done.stdout

    run("resolve", "--app", "Grün", "--all-matching", "--yes", "--note", "für 5 € 🙂", "--by", "Jürgen")
    (issue,) = json.loads(run("list", "--search", "E", "--json"))["issues"]
    shown = run("show", issue["id"])

    assert stored("für 5 € 🙂", encoding) in shown
    assert "Jürgen" in shown
    assert run("list", "--search", "🙂").strip() == "no issues"
