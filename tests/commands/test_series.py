"""`series list|forget`, as on a command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.database import connection
from tests.aggregation.counting import Store
from tests.servers import Database

Run = Callable[..., Result]

METRIC = "platform_http_request_duration_seconds"


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return a store in which `shop` has twelve routes and `crawl` one."""
    store = Store(store_database.dsn)
    for app, number in (("shop", 12), ("crawl", 1)):
        store.execute(
            "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
            "SELECT now(), %s, '/' || i, 200, 0.1 FROM generate_series(1, %s) i",
            [app, number],
        )
    store.poll("http_request")
    return store


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    """Return a function that runs `series ...` to its end."""
    config = tmp_path / "platform-exporter.yml"
    config.write_text(json.dumps({"database": {"dsn": store.dsn}}))

    def run(verb: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["series", verb, *arguments, "--config", str(config)])

    return run


def test_list_names_the_fattest_first(run: Run) -> None:
    """A line for each app and metric, and what the limit is."""
    done = run("list", "--metric", METRIC)

    assert done.exit_code == 0, done.output
    heading, first, second, total = done.stdout.splitlines()
    assert heading.split()[:3] == ["SOURCE", "APP", "METRIC"]
    assert first.split()[:7] == ["native", "shop", METRIC, "12", "13", "route", "(12)"]
    assert second.split()[1] == "crawl"
    assert total == "13 label sets; 500 per metric and source are shared by its apps"


def test_list_as_json(run: Run) -> None:
    """The same for programs, with every label."""
    (crawl,) = json.loads(run("list", "--json", "--app", "crawl", "--metric", METRIC).stdout)["series"]

    assert crawl.pop("counted_at")
    assert crawl == {"source": "native", "app": "crawl", "metric": METRIC, "label_sets": 1, "in_budget": 13,
                     "labels": {"route": 1}}  # fmt: skip


def test_nothing_is_forgotten_without_yes(run: Run, store: Store) -> None:
    """It shows what would be."""
    done = run("forget", "--app", "shop")

    assert done.exit_code == 0
    assert "24 label sets would be forgotten; nothing was changed: add --yes" in done.output
    assert store.value(METRIC, app="shop") == 12


@pytest.mark.parametrize(
    ("options", "left"),
    [(("--app", "shop"), None), (("--label", "route=/3", "--label", "app=shop"), 11), (("--metric", METRIC), None)],
)
def test_what_is_selected_is_forgotten(run: Run, store: Store, options: tuple[str, ...], left: float | None) -> None:
    """With --yes; it says how much, and the audit who did it and why."""
    done = run("forget", *options, "--yes", "--by", "ann", "--note", "renamed")

    assert done.exit_code == 0, done.output
    assert "forgotten: they are gone with the next poll" in done.output
    assert store.value(METRIC, app="shop") == left
    assert store.execute("SELECT actor, action, details->>'note' FROM monitoring.audit") == [
        ("ann", "series.forgotten", "renamed")
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "nothing selects what to forget"),
        (("--app", "nobody"), 1, "no series matches"),
        (("--label", "route"), 2, "invalid label 'route': expected NAME=VALUE"),
        (("--source", "odd", "--app", "shop"), 2, "invalid --source 'odd': expected one of native"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...], status: int, message: str) -> None:
    """Says what was expected."""
    done = run("forget", *arguments)

    assert (done.exit_code, message in done.output) == (status, True), done.output


def test_a_poll_that_runs_is_waited_for(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for ever: then nothing is forgotten, and that is said."""
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "200ms")
    with store.connect() as poll:
        poll.execute("BEGIN")
        poll.execute("SELECT FROM monitoring.source FOR UPDATE")
        done = run("forget", "--app", "shop", "--yes")

    assert done.exit_code == 1
    assert "nothing of it was forgotten: try again" in done.output
    assert store.value(METRIC, app="shop") == 12
