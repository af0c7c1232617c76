"""The command `errors`, as on a command line."""

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
        "ignored_until_events = NULL, resolved_release = NULL, assignee = NULL; TRUNCATE monitoring.audit"
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


def test_merged_issues_are_found_by_their_former_ids(run: Run, store: Store) -> None:
    """`show` shows the issue that has them now, other commands name it; what is not merged is not split."""
    ids = id_of(store, "shop"), id_of(store, "shop", "KeyError")
    twice = run("merge", ids[0], ids[0][:8])
    merged = run("merge", *ids)
    shown, resolved = run("show", ids[1]), run("resolve", ids[1])
    unknown = run("split", ids[0], "--fingerprint", "nothing")
    split, again = run("split", ids[0]), run("split", ids[0])

    assert (twice.exit_code, f"the same id was given twice, {ids[0]}" in twice.stderr) == (1, True)
    assert merged.exit_code == 0
    assert (shown.exit_code, shown.stderr) == (0, f"{ids[1]} was merged into {ids[0]}:\n")
    assert f"id            {ids[0]}" in shown.stdout
    assert (resolved.exit_code, f"{ids[1]} was merged into {ids[0]}" in resolved.stderr) == (1, True)
    assert (unknown.exit_code, "no fingerprint 'nothing'" in unknown.stderr) == (1, True)
    assert split.exit_code == 0
    assert (again.exit_code, "nothing can be split" in again.stderr) == (1, True)


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


def test_issues_are_assigned(run: Run, store: Store) -> None:
    """To a person, the last argument, or with --none to nobody; the list shows and filters by who has them."""
    ids = id_of(store, "shop"), id_of(store, "prices", "E")
    done = run("assign", *ids, "Ann Lee", "--by", "bob", "--note", "on call")
    listed, others = run("list", "--assignee", "Ann Lee"), run("list", "--unassigned", "--json")
    again = run("assign", *ids, "Ann Lee")
    back = run("assign", ids[0], "--none")

    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [f"{ids[0]}  shop  assigned to Ann Lee", "assign: 2 of 2 issues changed"]
    assert "ASSIGNED TO" in listed.stdout
    assert listed.stdout.count("Ann Lee") == 2
    assert [one["assignee"] for one in json.loads(others.stdout)["issues"]] == [None]
    assert again.stdout.splitlines()[0].endswith("already assigned to Ann Lee")
    assert back.stdout.splitlines() == [f"{ids[0]}  shop  assigned to nobody", "unassign: 1 of 1 issue changed"]
    assert {row[0] for row in audit(store)[:2]} == {"bob"}


def test_issues_are_merged_and_split(run: Run, store: Store) -> None:
    """Into the first; `show` names the fingerprints and what was done; split, each is listed again."""
    ids = [
        row[0] for row in store.execute("SELECT id FROM monitoring.error_issue WHERE app = 'shop' ORDER BY first_seen")
    ]
    done = run("merge", *ids, "--by", "bob", "--note", "one fault")
    shown, listed = run("show", ids[0]), run("list", "--app", "shop", "--json")
    back = run("split", ids[0])
    alone = run("split", ids[0])

    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [*(f"{id_}  shop  merged" for id_ in ids), "merge: 2 of 2 issues changed"]
    assert "  and  " in shown.stdout
    assert f"merged {ids[1]}" in shown.stdout
    assert [one["id"] for one in json.loads(listed.stdout)["issues"]] == [ids[0]]
    assert back.stdout.splitlines() == [*(f"{id_}  shop  split" for id_ in ids), "split: 2 of 2 issues changed"]
    assert (alone.exit_code, f"nothing was merged into issue {ids[0]}" in alone.stderr) == (1, True)


def test_what_cannot_be_merged_is_an_error(run: Run, store: Store) -> None:
    """With what was expected, and nothing changed."""
    done = run("merge", id_of(store, "shop"), id_of(store, "prices", "E"))

    assert done.exit_code == 1
    assert "issues of several apps cannot be merged: prices, shop" in done.stderr


def test_a_comment_is_shown(run: Run, store: Store) -> None:
    """In the issue's history, with who wrote it and beside to whom it was assigned; nothing in it moves a terminal."""
    id_ = id_of(store, "shop")
    done = run("comment", id_, "seen\u202e since\n1.4", "--by", "ann")
    run("assign", "--app", "shop", "--severity", "high", "--all-matching", "--yes", "bob", "--by", "ann")
    shown = run("show", id_).stdout

    assert done.stdout.splitlines() == [f"{id_}  shop  commented", "comment: 1 of 1 issue changed"]
    history = shown[shown.index("\nHistory\n") :].splitlines()[2:]
    assert [line.split("  ", 2)[2].split(maxsplit=2) for line in history] == [
        ["comment", "ann", "via command line, note seen? since 1.4"],
        ["assigned", "to", "bob" + " " * 7 + "ann  via command line"],
    ]
    assert "  assignee      bob\n" in shown


def test_who_has_an_issue_is_exported(run: Run, store: Store, tmp_path: Path) -> None:
    """And comments with the audit."""
    run("assign", id_of(store, "shop"), "bob")
    run("comment", id_of(store, "shop"), "known")
    config = str(tmp_path / "platform-exporter.yml")

    def exported(kind: str, *arguments: str) -> str:
        return CliRunner().invoke(main, ["export", kind, "--config", config, *arguments]).stdout

    assert exported("error_issue", "--where", "assignee=bob", "--columns", "app,assignee").split() == [
        "app,assignee", "shop,bob",
    ]  # fmt: skip
    assert '""note"": ""known""' in exported("audit", "--where", "action=error.comment")


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
        (("assign", "0000"), 2, "expected either IDs"),
        (("assign",), 2, "`person` is missing"),
        (("assign", "0000", "a\x1bb"), 2, "invalid character '\\x1b' in `person`"),
        (("assign", "0000", "x" * 201), 2, "expected 1 to 200"),
        (("assign", "--none"), 2, "expected either IDs"),
        (("comment", "0000", " "), 2, "invalid text of 1 character for `note`"),
        (("comment", "0000", "\udcff"), 2, "invalid argument: expected UTF-8"),
        (("comment", "0000", "x", "--note", "y"), 2, "No such option"),
        (("comment",), 2, "Missing argument 'TEXT'"),
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
