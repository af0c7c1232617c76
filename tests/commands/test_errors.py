"""`errors list|show|resolve|reopen|ignore`, as on a command line."""

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.database import schema
from tests.aggregation.counting import Store
from tests.issues.listing import audit, id_of, statuses
from tools.stack.servers import Postgres

Run = Callable[..., Result]

EVENT = (
    "INSERT INTO monitoring.error (at, app, severity, error_type, message, endpoint, fingerprint, release, user_id, "
    "stack_trace) VALUES (now() - interval '3 h', %s, %s, %s, %s, '/x', %s, '1.0', %s, E'Trace:\\n  File \"a.py\"')"
)


@pytest.fixture(scope="module")
def shared(postgres: Postgres) -> Iterator[Store]:
    """Return the event store of this file's tests."""
    store = Store(postgres.create_database("errors_command"))
    with store.connect() as connection:
        schema.apply(connection)
    for app, severity, type_ in (("shop", "high", "ValueError"), ("shop", "low", "KeyError"), ("prices", "high", "E")):
        for user in ("u1", "u2"):
            store.execute(EVENT, [app, severity, type_, "bad \x1b[31m red\nthing", f"f {type_}", user])
    store.poll("error")
    yield store
    postgres.drop_database("errors_command")


@pytest.fixture
def store(shared: Store) -> Store:
    """Return it with all issues open and an empty audit."""
    shared.execute(
        "UPDATE monitoring.error_issue SET status = 'open', resolved_at = NULL, ignored_until = NULL, "
        "ignored_until_events = NULL, resolved_release = NULL; TRUNCATE monitoring.audit"
    )
    return shared


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    """Return a function that runs `errors ...` to its end."""
    config = tmp_path / "platform-exporter.yml"
    config.write_text(json.dumps({"database": {"dsn": store.dsn}}))

    def run(verb: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["errors", verb, *arguments, "--config", str(config)])

    return run


def test_list_shows_what_matches_the_filter(run: Run) -> None:
    """A line each, and how many there are in all; nothing in it moves a terminal."""
    done = run("list", "--app", "shop", "--severity", "high")

    assert done.exit_code == 0, done.stderr
    heading, row, total = done.stdout.splitlines()
    assert heading.split()[:3] == ["ID", "STATUS", "SEVERITY"]
    assert "ValueError: bad ?[31m red thing" in row
    assert "3h ago" in row
    assert total == "1 of 1 issue"


def test_list_prints_json(run: Run) -> None:
    """For programs: all columns, and the total beyond the limit."""
    printed = json.loads(run("list", "--json", "--limit", "2").stdout)

    assert printed["total"] == 3
    assert len(printed["issues"]) == 2
    assert {"id", "app", "status", "events", "last_seen"} <= set(printed["issues"][0])


def test_an_empty_list_is_fine(run: Run) -> None:
    """An empty result is not a failure."""
    done = run("list", "--search", "nowhere")

    assert (done.exit_code, done.stdout) == (0, "no issues\n")


def test_show_shows_everything(run: Run, store: Store) -> None:
    """Stack trace, occurrences, users, releases, history; by a shortened id."""
    id_ = id_of(store, "shop")
    run("ignore", id_, "--for", "1d", "--events", "9", "--by", "ann", "--note", "known")
    done = run("show", id_[:10])

    assert done.exit_code == 0, done.stderr
    for expected in (
        'File "a.py"',
        "users         2",
        "1.0",
        "user u1",
        "open -> ignored",
        "ann",
        "note known",
        "or until 11 ev",
    ):
        assert expected in done.stdout
    assert "\x1b" not in done.stdout
    (issue,) = json.loads(run("show", id_, "--json").stdout)["issues"]
    assert (issue["users"], len(issue["occurrences"]), issue["history"][0]["actor"]) == (2, 2, "ann")


def test_resolve_by_ids(run: Run, store: Store) -> None:
    """By this user at this host, unless --by names another."""
    done = run("resolve", id_of(store, "shop")[:12], id_of(store, "prices", "E"), "--release", "1.1")

    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "resolve: 2 of 2 issues changed")
    assert statuses(store) == {"shop ValueError": "resolved", "shop KeyError": "open", "prices E": "resolved"}
    assert {str(row[0]).partition("@")[0] for row in audit(store)} == {getpass.getuser()}
    assert store.execute("SELECT DISTINCT details->>'release', details->>'via' FROM monitoring.audit") == [
        ("1.1", "command line")
    ]


def test_all_that_match(run: Run, store: Store) -> None:
    """With --yes, without a terminal; and back."""
    done = run("ignore", "--app", "shop", "--all-matching", "--yes", "--for", "300d")
    again = run("reopen", "--status", "ignored", "--all-matching", "--yes", "--json")

    assert done.exit_code == 0, done.stderr
    assert len([one for one in json.loads(again.stdout)["issues"] if one["changed"]]) == 2
    assert set(statuses(store).values()) == {"open"}
    assert [row[1] for row in audit(store)] == ["error.ignore"] * 2 + ["error.reopen"] * 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("resolve", "00000000"), 1, "no issue has the id 00000000"),
        (("show", "xyz"), 1, "4 to 16 hexadecimal digits"),
        (("resolve", "--app", "nobody", "--all-matching", "--yes"), 1, "no issue matches"),
        (("resolve", "--app", "shop", "--all-matching"), 2, "then add --yes"),
        (("resolve", "--app", "shop"), 2, "--all-matching"),
        (("resolve", "--all-matching", "--yes"), 2, "every issue"),
        (("resolve",), 2, "expected either IDs"),
        (("ignore", "0000", "--for", "soon"), 2, "invalid duration 'soon'"),
        (("reopen", "0000", "--by", "a\nb"), 2, "invalid name 'a\\nb'"),
        (("ignore", "0000", "--until", "2020-01-01"), 2, "expected a time in the next ten years"),
        (("ignore", "0000", "--until", "2090-01-01", "--for", "1d"), 2, "both given"),
        (("list", "--since", "soon"), 2, "invalid time 'soon'"),
        (("list", "--source", "other"), 2, "expected one of native"),
    ],
)
def test_errors_are_reported(run: Run, store: Store, arguments: tuple[str, ...], status: int, said: str) -> None:
    """On stderr, and by the exit status; nothing is changed."""
    done = run(*arguments)

    assert done.exit_code == status
    assert said in done.stderr
    assert set(statuses(store).values()) == {"open"}
