"""Manual alerts on real Alertmanagers: they fire until they are resolved, whatever restarts."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exporter.__main__ import main
from exporter.database import schema
from tests.servers import Database, PrometheusBinaries, ServerFactory
from tools.stack.ports import free_port
from tools.stack.process import Command, poll_until
from tools.stack.servers import Alertmanager, Postgres
from tools.testing.exporter import exporting


@dataclass
class Commands:
    """Run `platform-exporter alerts` with one configuration."""

    folder: Path
    dsn: str
    alertmanagers: list[Alertmanager]

    @property
    def config(self) -> Path:
        """Write and return the configuration."""
        path = self.folder / "platform-exporter.yml"
        path.write_text(self.text)
        return path

    @property
    def text(self) -> str:
        """Return the configuration's text."""
        urls = json.dumps([server.url for server in self.alertmanagers])
        return (
            f'database: {{dsn: "{self.dsn}", poll_interval_seconds: 0.5}}\n'
            f"alertmanager: {{urls: {urls}, resend_seconds: 1}}\nstack: {{grafana_url: 'http://grafana:3000'}}\n"
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        """Return what it printed, on stderr where it failed; its exit status is as expected."""
        done = CliRunner().invoke(main, ["alerts", *arguments, "--config", str(self.config)])
        assert done.exit_code == status, done.output
        return done.stdout if status == 0 else done.stderr

    def json(self, *arguments: str) -> Any:
        """Return what it printed as JSON."""
        return json.loads(self.run(*arguments, "--json"))

    def listed(self) -> list[tuple[str, str]]:
        """Return summary and state of each alert."""
        return [(row["summary"], row["state"]) for row in self.json("list")]

    def create(self, summary: str, *arguments: str) -> str:
        """Make an alert and return its id."""
        identifier = self.json("create", summary, "--severity", "high", *arguments)["id"]
        assert isinstance(identifier, str)
        return identifier


@pytest.fixture
def commands(store: Database, tmp_path: Path) -> Commands:
    """Return the commands, without Alertmanagers yet."""
    return Commands(tmp_path, store.dsn, [])


@pytest.fixture
def alone(
    commands: Commands, start_alertmanager: Callable[..., Alertmanager], prometheus_binaries: PrometheusBinaries
) -> Commands:
    """Return the commands with one Alertmanager, of each generation in turn."""
    commands.alertmanagers.append(start_alertmanager(binary=prometheus_binaries.alertmanager))
    return commands


def audit(store: Database) -> list[tuple[Any, ...]]:
    return store.execute("SELECT actor, action, object FROM monitoring.audit ORDER BY at")


def test_an_alert_is_created_listed_and_resolved(alone: Commands, store: Database) -> None:
    """At once, without a running exporter; who did what is in the audit."""
    identifier = alone.create("Payments are off", "--app", "shop", "--label", "team=pay", "--by", "ann")
    [alert] = poll_until(lambda: alone.alertmanagers[0].alerts())
    table = alone.run("list")

    assert alert["labels"] == {
        "alertname": "PlatformManualAlert", "severity": "high", "app": "shop", "team": "pay",
        "alert_source": "manual", "id": identifier,
    }  # fmt: skip
    assert alert["annotations"] == {
        "summary": "Payments are off",
        "description": "Created manually by ann.",
        "runbook_url": "http://grafana:3000/d/platform-runbook/runbook?var-alert=PlatformManualAlert",
        "dashboard_url": "http://grafana:3000/d/platform-alerts/alerts?var-alertname=PlatformManualAlert",
    }
    assert table.splitlines()[0].split() == [
        "SEVERITY",
        "STATE",
        "SINCE",
        "(UTC)",
        "ALERT",
        "ABOUT",
        "SOURCE",
        "SUMMARY",
    ]
    assert f"manual {identifier} by ann" in table
    assert "resolved by bob" in alone.run("resolve", identifier[:5], "--by", "bob", "--comment", "back")
    assert "resolved by bob" in alone.run("resolve", identifier, "--by", "eve")
    poll_until(lambda: alone.listed() == [])
    assert audit(store) == [
        ("ann", "alert.create", f"manual_alert/{identifier}"),
        ("bob", "alert.resolve", f"manual_alert/{identifier}"),
    ]


def test_it_fires_across_restarts(
    start_postgres: Callable[..., Postgres], start_alertmanager: Callable[..., Alertmanager], tmp_path: Path
) -> None:
    """Of Alertmanager, of the exporter, and of Alertmanager again while PostgreSQL is stopped; then it is resolved."""
    postgres = start_postgres()
    with postgres.connect() as connection:
        schema.apply(connection)
    commands = Commands(tmp_path, postgres.dsn, [start_alertmanager()])
    alertmanager = commands.alertmanagers[0]
    identifier = commands.create("It burns")

    def fires() -> bool:
        return [alert["labels"]["id"] for alert in alertmanager.alerts()] == [identifier]

    with exporting(tmp_path, commands.text):
        alertmanager.restart()
        poll_until(fires)
    with exporting(tmp_path, commands.text) as exporter:
        alertmanager.restart()
        poll_until(fires)
        postgres.stop()
        alertmanager.restart()
        poll_until(fires)
        poll_until(lambda: "manual alerts cannot be read" in exporter.log)
        postgres.start()
        commands.run("resolve", identifier)
        poll_until(lambda: alertmanager.alerts() == [])
        # The second one shows that the exporter has sent again, and the first stays resolved.
        other = commands.create("Another")
        alertmanager.restart()
        poll_until(lambda: [alert["labels"]["id"] for alert in alertmanager.alerts()] == [other])


def test_a_frozen_event_store_stops_no_alert(
    start_postgres: Callable[..., Postgres], start_alertmanager: Callable[..., Alertmanager], tmp_path: Path
) -> None:
    """A server that accepts and never answers: the last known alerts are still sent."""
    postgres = start_postgres()
    with postgres.connect() as connection:
        schema.apply(connection)
    commands = Commands(tmp_path, postgres.dsn, [start_alertmanager()])
    commands.create("It burns")
    with exporting(tmp_path, commands.text):
        commands.alertmanagers[0].restart()
        poll_until(lambda: commands.alertmanagers[0].alerts())
        postgres.freeze()
        commands.alertmanagers[0].restart()
        poll_until(lambda: commands.alertmanagers[0].alerts())
        postgres.thaw()


def test_two_exporters_and_two_alertmanagers_know_one_alert(
    commands: Commands, start_alertmanager: Callable[..., Alertmanager], tmp_path: Path
) -> None:
    """Each Alertmanager has it once, and one that was away when it was resolved ends it when it is back."""
    commands.alertmanagers += [start_alertmanager(), start_alertmanager()]
    identifier = commands.create("It burns")
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with exporting(folders[0], commands.text), exporting(folders[1], commands.text):
        poll_until(lambda: all(len(server.alerts()) == 1 for server in commands.alertmanagers))
        assert [len(row["alertmanagers"]) for row in commands.json("list")] == [2]
        commands.alertmanagers[1].freeze()
        commands.run("resolve", identifier)
        commands.alertmanagers[1].thaw()
        poll_until(lambda: all(server.alerts() == [] for server in commands.alertmanagers))


def test_what_no_alertmanager_accepted_is_stored(
    commands: Commands, start_alertmanager: Callable[..., Alertmanager]
) -> None:
    """The command fails and says so; the alert is listed as unsent as soon as one answers."""
    commands.alertmanagers.append(start_alertmanager())
    commands.alertmanagers[0].stop()
    said = commands.run("create", "It burns", "--severity", "low", status=1)

    assert "does not answer: connection refused or lost" in said
    assert "stored, but no Alertmanager accepted it yet" in said
    assert "does not answer" in commands.run("list", status=1)
    commands.alertmanagers[0].start()
    assert commands.listed() == [("It burns", "unsent")]


def test_without_the_event_store_alerts_are_listed_and_silenced(
    commands: Commands, start_alertmanager: Callable[..., Alertmanager]
) -> None:
    """Alerts cannot be created then, and a silence says that it is not audited."""
    commands.alertmanagers.append(start_alertmanager())
    commands.create("It burns", "--app", "shop")
    commands.dsn = "host=127.0.0.1 port=1"
    rows = commands.json("list")

    assert [(row["source"], row["created_by"]) for row in rows] == [("manual", None)]
    assert "no connection to the default database" in commands.run("create", "More", "--severity", "low", status=1)
    said = commands.run("silence", "app=shop", "--for", "1h", "--comment", "known", status=1)
    assert "done, but missing in the audit" in said
    poll_until(lambda: commands.listed() == [("It burns", "silenced")])


def test_a_silence_is_created_shown_and_ended(alone: Commands, store: Database) -> None:
    """By all four kinds of matchers, with author and comment; both acts are in the audit."""
    alone.create("It burns", "--app", "shop")
    matchers = ["app=shop", 'severity=~"high|low"', "alertname!=Other", "id!~x.*"]
    made = alone.json("silence", *matchers, "--for", "1h30m", "--comment", "release", "--by", "ann")
    [identifier] = made["ids"]
    poll_until(lambda: alone.listed() == [("It burns", "silenced")])
    found = alone.alertmanagers[0].get(f"/api/v2/silence/{identifier}")

    assert (found["createdBy"], found["comment"], found["status"]["state"]) == ("ann", "release", "active")
    assert f"silenced by {identifier}" in alone.run("list")
    assert "no alerts" in alone.run("list", "--firing")
    alone.run("silence", "--expire", identifier, "--by", "bob")
    poll_until(lambda: alone.listed() == [("It burns", "firing")])
    assert audit(store)[1:] == [
        ("ann", "silence.create", f"silence/{identifier}"),
        ("bob", "silence.expire", f"silence/{identifier}"),
    ]
    assert "no Alertmanager that answers knows the silence" in alone.run(
        "silence", "--expire", "00000000-0000-4000-8000-000000000000", status=1
    )


def test_without_a_cluster_each_gets_a_silence(
    commands: Commands, start_alertmanager: Callable[..., Alertmanager]
) -> None:
    """Two Alertmanagers without a cluster both mute the alert."""
    commands.alertmanagers += [start_alertmanager(), start_alertmanager()]
    made = commands.json("silence", "app=shop", "--for", "1h", "--comment", "c")

    assert [len(server.get("/api/v2/silences")) for server in commands.alertmanagers] == [1, 1]
    assert len(made["ids"]) == 2


def test_a_cluster_gets_one_silence(commands: Commands, cluster: list[Alertmanager]) -> None:
    """Created at one member, known by the other."""
    commands.alertmanagers += cluster
    made = commands.json("silence", "app=shop", "--for", "1h", "--comment", "c")

    assert [[one["id"] for one in server.get("/api/v2/silences")] for server in cluster] == [made["ids"]] * 2
    commands.run("silence", "--expire", *made["ids"])

    def states() -> set[str]:
        return {one["status"]["state"] for server in cluster for one in server.get("/api/v2/silences")}

    poll_until(lambda: states() == {"expired"})


class Member(Alertmanager):
    """One of a cluster of two."""

    own, peer = 0, 0

    def command(self) -> Command:
        """Return what to run, with the ports on which the two talk to each other."""
        alone = super().command()
        argv = [argument for argument in alone.argv if not argument.startswith("--cluster.listen-address")]
        argv += [f"--cluster.listen-address=127.0.0.1:{self.own}", f"--cluster.peer=127.0.0.1:{self.peer}"]
        return replace(alone, argv=[*argv, "--cluster.settle-timeout=1s"])


@pytest.fixture
def cluster(servers: ServerFactory) -> list[Alertmanager]:
    """Return two Alertmanagers of one cluster that have found each other."""
    ports = [free_port(), free_port()]
    members: list[Alertmanager] = []
    for own, peer in (ports, reversed(ports)):
        member = servers.make(Member)
        member.own, member.peer = own, peer
        members.append(member.start())
    poll_until(lambda: all(len(one.get("/api/v2/status")["cluster"]["peers"]) == 2 for one in members))
    return members


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["silence", "app=shop"], "expected at least one MATCHER, --for DURATION and --comment TEXT"),
        (["silence", "shop", "--for", "1h", "--comment", "c"], "invalid matcher 'shop': expected NAME=VALUE"),
        (["silence", "app=shop", "--for", "soon", "--comment", "c"], "invalid duration 'soon': expected e.g. 90m"),
        (["silence", "app=shop", "--for", "0m", "--comment", "c"], "invalid duration '0m'"),
        (["silence", "app=~.*", "--for", "1h", "--comment", "c"], "also matches alerts without these labels"),
        (["silence", "app!=shop", "--for", "1h", "--comment", "c"], "also matches alerts without these labels"),
        (["silence", "app=shop", "--expire", "x"], "--expire ID cannot be combined"),
        (["create", " ", "--severity", "low"], "the summary is empty"),
        (["create", "x", "--severity", "low", "--by", ""], "invalid name '': expected 1 to 200 printable characters"),
        (["create", "x", "--severity", "urgent"], "'urgent' is not one of 'critical', 'high', 'medium', 'low'"),
        (["create", "x", "--severity", "low", "--label", "id=1"], "invalid label 'id': expected letters"),
        (["create", "x", "--severity", "low", "--label", "a-b=1"], "invalid label 'a-b'"),
        (["create", "x", "--severity", "low", "--label", "team"], "invalid label 'team': expected NAME=VALUE"),
        (["create", "x", "--severity", "low", "--name", "It burns"], "invalid name 'It burns': expected CamelCase"),
        (["list", "--config", "/nowhere.yml"], "cannot read /nowhere.yml"),
    ],
)
def test_wrong_usage_is_reported(commands: Commands, arguments: list[str], words: str) -> None:
    """Exit status 2, before anything is stored or sent."""
    (commands.folder / "platform-exporter.yml").write_text(
        "database: {dsn: 'host=127.0.0.1 port=1'}\nalertmanager: {urls: ['http://127.0.0.1:1']}\n"
    )
    config = [] if "--config" in arguments else ["--config", str(commands.folder / "platform-exporter.yml")]
    done = CliRunner().invoke(main, ["alerts", *arguments, *config])

    assert done.exit_code == 2, done.output
    assert words in " ".join(done.stderr.split())


def test_without_alertmanagers_the_key_is_named(commands: Commands) -> None:
    """What to set, and exit status 2."""
    assert "missing key `urls` in `alertmanager`: expected the addresses of all Alertmanagers" in commands.run(
        "list", status=2
    )


def test_an_unknown_id_is_reported(commands: Commands) -> None:
    """Exit status 1, and where to look; no Alertmanager is asked."""
    text = commands.text.replace("urls: []", "urls: ['http://127.0.0.1:1']")
    config = commands.folder / "unanswered.yml"
    config.write_text(text)
    done = CliRunner().invoke(main, ["alerts", "resolve", "ffff", "--config", str(config)])

    assert done.exit_code == 1
    assert "no manual alert has the id 'ffff'; see `platform-exporter alerts list`" in done.stderr
