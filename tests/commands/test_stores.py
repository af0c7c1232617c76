"""Commands over several event stores."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.commands import doctor
from exporter.config import loader
from exporter.errors import CountError, UnknownIssueError
from exporter.issues.api import _Api
from exporter.issues.change import Change
from exporter.issues.selection import Selection
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres

ISSUE = """INSERT INTO monitoring.error_issue (app, fingerprint, severity, error_type, first_seen, last_seen, events)
VALUES ('shop', 'f', 'high', %s, now(), now(), 1)"""
OTHER_ISSUE = """INSERT INTO monitoring.error_issue (app, fingerprint, severity, error_type, first_seen, last_seen,
    events) VALUES ('shop', 'g', 'high', 'G', now(), now(), 1) RETURNING id"""
ERROR = "INSERT INTO monitoring.error (at, app, error_type, user_id) VALUES (now(), 'shop', 'E', 'ada')"


@pytest.fixture
def stores(postgres: Postgres, store_template: str) -> Iterator[list[Database]]:
    """Return two event stores with one issue, in both of them, and an error of one user."""
    with fresh_database(postgres, store_template) as first, fresh_database(postgres, store_template) as second:
        for number, store in enumerate((first, second)):
            store.execute(ISSUE, [f"E{number}"])
            store.execute(ERROR)
        yield [first, second]


@pytest.fixture
def config(stores: list[Database], tmp_path: Path) -> Path:
    """Return a configuration that counts both."""
    path = tmp_path / "c.yml"
    path.write_text(
        f"database: {{dsn: '{stores[0].dsn}'}}\n"
        f"sources: [{{preset: native}}, {{preset: native, name: second, database: {{dsn: '{stores[1].dsn}'}}}}]\n"
    )
    return path


def api(config: Path) -> _Api:
    """Return what serves the routes that change issues."""
    return _Api(lambda: loader.load(config))


def states(store: Database) -> list[str]:
    """Return the status of each issue."""
    return [row[0] for row in store.execute("SELECT status FROM monitoring.error_issue ORDER BY fingerprint")]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_issues_of_all_stores_are_listed(config: Path) -> None:
    """Each with its source, which is what `--source` of the other commands takes."""
    lines = run("errors", "list", "--config", config).splitlines()
    listed = json.loads(run("errors", "list", "--config", config, "--json"))
    one = run("errors", "list", "--config", config, "--source", "second").splitlines()

    assert [line.split()[0] for line in lines] == ["SOURCE", "second", "native", "2"]
    assert [issue["source"] for issue in listed["issues"]] == ["second", "native"]
    assert [line.split()[0] for line in one[::2]] == ["ID", "1"]


def test_an_issue_is_shown_as_each_store_has_it(config: Path) -> None:
    """Counts, state and history are of what occurred there."""
    (issue, _) = json.loads(run("errors", "list", "--config", config, "--json"))["issues"]
    shown = json.loads(run("errors", "show", issue["id"][:6], "--config", config, "--json"))["issues"]
    one = run("errors", "show", issue["id"], "--config", config, "--source", "second")

    assert [(each["id"], each["source"]) for each in shown] == [(issue["id"], "native"), (issue["id"], "second")]
    assert "E1" in one
    assert "E0" not in one


def test_an_issue_is_changed_in_all_stores_that_have_it(config: Path, stores: list[Database]) -> None:
    """It has one id in all of them, and is one issue in the answer; each store's audit says it."""
    second = stores[1].execute(OTHER_ISSUE)[0][0]
    both = stores[0].execute("SELECT id FROM monitoring.error_issue")[0][0]
    done = run("errors", "resolve", both[:8], second, "--config", config).splitlines()
    again = run("errors", "resolve", both, "--config", config, "--source", "second").splitlines()

    assert [line.split()[0] for line in done[:-1]] == [both, second]
    assert done[-1] == "resolve: 2 of 2 issues changed"
    assert again[-1] == "resolve: 0 of 1 issue changed"
    assert [states(store) for store in stores] == [["resolved"], ["resolved", "resolved"]]
    assert [store.execute("SELECT count(*) FROM monitoring.audit") for store in stores] == [[(1,)], [(2,)]]


def test_a_filter_changes_what_the_list_shows(config: Path, stores: list[Database]) -> None:
    """The number to confirm is that of issues; one that is open in one store only is changed there."""
    stores[0].execute("UPDATE monitoring.error_issue SET status = 'resolved'")
    stores[1].execute(OTHER_ISSUE)
    arguments = ["errors", "ignore", "--app", "shop", "--status", "open", "--all-matching", "--config", config]
    done = run(*arguments, "--yes")

    assert done.splitlines()[-1] == "ignore: 2 of 2 issues changed"
    assert [states(store) for store in stores] == [["resolved"], ["ignored", "ignored"]]


def test_an_unknown_issue_changes_nothing_anywhere(config: Path, stores: list[Database]) -> None:
    """All ids are looked up before any store is changed."""
    both = stores[0].execute("SELECT id FROM monitoring.error_issue")[0][0]
    selection = Selection(ids=(both, "0" * 16))
    with pytest.raises(UnknownIssueError, match=r"no issue has the id 0{16}; nothing was changed"):
        api(config)._apply(selection, Change(action="resolve"), "ann", "api", None)
    with pytest.raises(CountError, match="1 issue would change, expected 2"):
        api(config)._apply(Selection(ids=(both,)), Change(action="resolve"), "ann", "api", 2)

    assert [states(store) for store in stores] == [["open"], ["open"]]


def test_issues_are_merged_where_all_of_them_are(config: Path, stores: list[Database]) -> None:
    """A store that has one of them has nothing to merge; a filter is for one store."""
    both = stores[0].execute("SELECT id FROM monitoring.error_issue")[0][0]
    second = stores[1].execute(OTHER_ISSUE)[0][0]
    filtered = ["errors", "merge", "--app", "shop", "--all-matching", "--yes", "--config", str(config)]
    refused = CliRunner().invoke(main, filtered)
    done = run("errors", "merge", both, second, "--config", config)

    assert refused.exit_code == 1
    assert "merge by a filter is for one event store: expected ids, or `--source`" in refused.stderr
    assert done.splitlines()[-1] == "merge: 2 of 2 issues changed"
    assert [states(store) for store in stores] == [["open"], ["open"]]


def test_the_api_changes_an_issue_in_all_stores(config: Path, stores: list[Database]) -> None:
    """What an editor clicks is about the app's issue, which was open in one store and resolved in the other."""
    (issue,) = stores[0].execute("SELECT id FROM monitoring.error_issue")[0]
    stores[1].execute("UPDATE monitoring.error_issue SET status = 'resolved'")
    done = api(config)._apply(Selection(ids=(issue,)), Change(action="reopen"), "ann", "api", 1)

    assert [(one.id, one.changed) for one in done] == [(issue, True)]
    assert [states(store) for store in stores] == [["open"], ["open"]]


def test_doctor_finds_a_store_that_is_counted_twice(stores: list[Database], tmp_path: Path) -> None:
    """The configuration cannot tell that two spellings of a DSN are one database."""
    path = tmp_path / "twice.yml"
    dsn = stores[0].dsn
    path.write_text(
        f"database: {{dsn: '{dsn}'}}\nsources: [{{preset: native}}, {{preset: native, name: second, "
        f"database: {{dsn: '{dsn}{'&' if '?' in dsn else '?' if '://' in dsn else ' '}application_name=x'}}}}]\n"
    )
    found = [finding for finding in doctor.examine(loader.load(path)) if "twice" in finding.text]

    assert [(one.subject, one.verdict, one.text.partition(",")[0]) for one in found] == [
        ("source second", doctor.FAIL, "source native counts this event store")
    ]


def test_issues_of_different_stores_are_not_merged(config: Path, stores: list[Database]) -> None:
    """The message says where each is; with one that is nowhere it is that which is told."""
    first = stores[0].execute(OTHER_ISSUE.replace("'g'", "'h'"))[0][0]
    second = stores[1].execute(OTHER_ISSUE)[0][0]
    for action in ("merge", "split"):
        refused = CliRunner().invoke(main, ["errors", action, first, second, "--config", str(config)])
        where = "; ".join(
            f"{id_} in database {store.name} at {store.server.host}:{store.server.port}"
            for id_, store in zip((first, second), stores, strict=True)
        )

        assert refused.exit_code == 1
        assert f"cannot {action} issues of different event stores ({where}): expected ids that" in refused.stderr
        assert "nothing was changed" in refused.stderr
    unknown = Selection(ids=(first, "0" * 16))
    with pytest.raises(UnknownIssueError, match="no issue has the id"):
        api(config)._apply(unknown, Change(action="merge"), "ann", "api", None)

    assert [states(store) for store in stores] == [["open", "open"]] * 2


def test_a_user_is_handed_out_and_erased_in_all_stores(config: Path, stores: list[Database]) -> None:
    """Both stores' rows are in one file, and none of them names the user afterwards."""
    exported: dict[str, Any] = json.loads(run("users", "export", "ada", "--config", config))
    run("users", "erase", "ada", "--config", config, "--yes")

    assert [row["user_id"] for row in exported["error"]] == ["ada", "ada"]
    assert [store.execute("SELECT user_id FROM monitoring.error") for store in stores] == [[(None,)], [(None,)]]


@pytest.fixture
def stopped(stores: list[Database], start_postgres: Callable[..., Postgres], tmp_path: Path) -> Path:
    """Return a configuration whose second event store is on a server that was stopped, with a password."""
    server = start_postgres(durable=False)
    dsn = server.dsn
    server.stop()
    path = tmp_path / "stopped.yml"
    path.write_text(
        f"database: {{dsn: '{stores[0].dsn}'}}\n"
        "sources: [{preset: native}, {preset: native, name: second, "
        f"database: {{dsn: '{dsn}', password: hunter2}}}}]\n"
    )
    return path


def attempt(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 1, result.output
    assert "source second: no connection to database " in result.stderr
    assert "hunter2" not in result.output
    return result


def test_what_can_be_reached_is_listed_and_shown(stopped: Path) -> None:
    """The source that is missing is named on stderr, and the exit status tells scripts."""
    listed = attempt("errors", "list", "--config", stopped, "--json")
    ((issue,),) = [json.loads(listed.stdout)["issues"]]
    lines = attempt("errors", "list", "--config", stopped).stdout.splitlines()
    shown = attempt("errors", "show", issue["id"], "--config", stopped)
    none = attempt("errors", "list", "--config", stopped, "--app", "other")

    assert listed.stderr.rstrip().endswith("; its issues are not shown")
    assert issue["source"] == "native"
    assert lines[1].split()[0] == "native"
    assert lines[-1] == "1 of 1 issue in the event stores that can be reached"
    assert "E0" in shown.stdout
    assert none.stdout == "no issues in the event stores that can be reached\n"


def test_nothing_is_changed_where_a_store_cannot_be_reached(stopped: Path, stores: list[Database]) -> None:
    """Otherwise half of an issue would be resolved, and a user half erased; one store alone may be asked for."""
    ((issue,),) = stores[0].execute("SELECT id FROM monitoring.error_issue")
    resolved = attempt("errors", "resolve", issue, "--config", stopped)
    erased = attempt("users", "erase", "ada", "--config", stopped, "--yes")
    exported = attempt("users", "export", "ada", "--config", stopped)
    before = states(stores[0])
    run("errors", "resolve", issue, "--config", stopped, "--source", "native")

    assert "; nothing was changed in any event store: --source NAME changes" in resolved.stderr
    assert "; nothing was exported or erased, as that needs all databases" in erased.stderr
    assert exported.stdout == ""
    assert before == ["open"]
    assert states(stores[0]) == ["resolved"]
    assert stores[0].execute("SELECT user_id FROM monitoring.error") == [("ada",)]


def test_a_consumer_is_erased_in_all_databases_or_in_none(stopped: Path, stores: list[Database]) -> None:
    """Series of a consumer are also counted where applications' own tables are."""
    stopped.write_text(stopped.read_text().replace("preset: native, name: second", "preset: stratlogic, name: second"))
    attempt("users", "erase", "ada", "--consumer", "--config", stopped, "--yes")

    assert stores[0].execute("SELECT count(*) FROM monitoring.audit") == [(0,)]
