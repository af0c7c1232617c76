"""Issues are changed over HTTP: by Editors of Grafana, behind a stand-in for its proxy, and by scripts with a token."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter.database import schema
from grafana import actions
from grafana.design.targets import ISSUES
from tests.aggregation.counting import Store
from tests.issues.grafana_stand_in import NEWER, OLDER, PROXY, StandIn, standing_in
from tests.issues.listing import audit, id_of, statuses
from tests.prometheus.names import ROOT
from tests.servers import PATIENCE_SECONDS
from tools.stack.servers import Postgres
from tools.testing.exporter import Exporter, exporting

TOKEN = "0123456789abcdef"
PROVISIONED = yaml.safe_load((ROOT / "grafana/provisioning/datasources/platform.yml").read_text())["datasources"]
SETTINGS = dict(
    line.split("=", 1) for line in (ROOT / "grafana/grafana.env").read_text().splitlines() if line.startswith("GF_")
)


@pytest.fixture(scope="module")
def served(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exporter, Store]]:
    """Return a running exporter and its store, shared by the tests of this file."""
    store = Store(postgres.create_database("issues_served"))
    with store.connect() as connection:
        schema.apply(connection)
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(f"{TOKEN}\n")
    configuration = {"database": {"dsn": store.dsn, "poll_interval_seconds": 60}, "errors": {"token_file": "token"}}
    with exporting(folder, json.dumps(configuration)) as exporter:
        yield exporter, store
    postgres.drop_database("issues_served")


@pytest.fixture
def exporter(served: tuple[Exporter, Store]) -> Exporter:
    """Return the exporter."""
    return served[0]


@pytest.fixture
def store(served: tuple[Exporter, Store]) -> Store:
    """Return its store, with two open issues and an empty audit."""
    store = served[1]
    store.execute("TRUNCATE monitoring.error_issue, monitoring.error_fingerprint, monitoring.audit")
    for app, type_ in (("shop", 'a"},{"b'), ("prices", "ValueError")):
        store.execute(
            "INSERT INTO monitoring.error_issue "
            "(app, fingerprint, severity, error_type, first_seen, last_seen, events) "
            "VALUES (%s, %s, 'high', %s, now(), now(), 1)",
            [app, f"f&x=1 {type_}", type_],
        )
    return store


@pytest.fixture
def grafana(exporter: Exporter) -> Iterator[StandIn]:
    """Return a stand-in with the provisioned data source and settings, an Editor signed in."""
    source = next(one for one in PROVISIONED if one["uid"] == ISSUES.uid)
    url = SETTINGS["GF_PLATFORM_ERRORS_URL"].replace("http://127.0.0.1:9847", exporter.base)
    assert source["secureJsonData"]["httpHeaderValue1"] == "$GF_PLATFORM_ERRORS_TOKEN"
    headers = {source["jsonData"]["httpHeaderName1"]: TOKEN}
    with standing_in(StandIn(url, headers, SETTINGS["GF_SECURITY_ACTIONS_ALLOW_POST_URL"])) as stand_in:
        yield stand_in


def row_action(title: str) -> dict[str, Any]:
    return next(one for one in actions.of_row() if one["title"] == title)


@pytest.mark.parametrize("routes", [OLDER, NEWER], ids=["older", "newer"])
@pytest.mark.parametrize(("title", "status"), [("Resolve", "resolved"), ("Ignore", "ignored")])
def test_an_editor_changes_an_issue_from_its_row(
    grafana: StandIn, store: Store, routes: list[tuple[str, str, str]], title: str, status: str
) -> None:
    """And is named in the audit, as Grafana knows them."""
    grafana.routes = routes
    answer = grafana.run(row_action(title), {"__data.fields.id": id_of(store, "prices")})

    assert answer.status_code == 200, answer.text
    assert statuses(store) == {"prices ValueError": status, 'shop a"},{"b': "open"}
    assert audit(store) == [("ann", f"error.{title.lower()}", "prices", "open", status, "grafana")]


@pytest.mark.parametrize("routes", [OLDER, NEWER], ids=["older", "newer"])
def test_an_editor_assigns_and_comments(grafana: StandIn, store: Store, routes: list[tuple[str, str, str]]) -> None:
    """To whom they type, or to themselves where the box is empty; a comment is any text."""
    grafana.routes = routes
    of_row = {"__data.fields.id": id_of(store, "prices")}
    answers = [
        grafana.run(row_action("Assign"), of_row, person="bob"),
        grafana.run(row_action("Assign"), of_row),
        grafana.run(row_action("Comment"), of_row, note='50 % of "x" & y=$5'),
        grafana.run(row_action("Unassign"), of_row),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[1].json()["changed"][0]["assignee"] == "ann"
    assert [row[1:5] for row in audit(store)] == [
        ("error.assign", "prices", None, "bob"),
        ("error.assign", "prices", "bob", "ann"),
        ("error.comment", "prices", None, None),
        ("error.unassign", "prices", "ann", None),
    ]
    assert store.one("SELECT details->>'note' FROM monitoring.audit WHERE action = 'error.comment'") == (
        '50 % of "x" & y=$5'
    )


@pytest.mark.parametrize("typed", [{}, {"note": ""}, {"note": "  "}, {"note": "x" * 1001}])
def test_a_comment_without_a_text_is_refused(grafana: StandIn, store: Store, typed: dict[str, str]) -> None:
    """The answer names what is missing."""
    answer = grafana.run(row_action("Comment"), {"__data.fields.id": id_of(store, "prices")}, **typed)

    assert answer.status_code == 400
    assert "`note`" in answer.json()["error"]
    assert audit(store) == []


@pytest.mark.parametrize("routes", [OLDER, NEWER], ids=["older", "newer"])
def test_a_viewer_changes_nothing(grafana: StandIn, store: Store, routes: list[tuple[str, str, str]]) -> None:
    """Grafana does not let them through, by no action and no other method."""
    grafana.routes, grafana.role = routes, "Viewer"
    answers = [grafana.run(one, {"__data.fields.id": id_of(store, "prices")}).status_code for one in actions.of_row()]
    url = f"{grafana.base}{PROXY}api/v2/alerts?action=resolve&ids={id_of(store, 'prices')}"
    others = [requests.request(method, url, timeout=60).status_code for method in ("GET", "PUT", "PATCH", "DELETE")]

    assert set(answers) == {403}
    assert set(others) <= {403, 405}
    assert set(statuses(store).values()) == {"open"}
    assert audit(store) == []


def test_a_viewer_reads_nothing_through_it(grafana: StandIn, store: Store) -> None:
    """Grafana may let Viewers GET: there is nothing to be had."""
    grafana.routes, grafana.role = OLDER, "Viewer"
    for path in ("", "..", "../resolve", "api/v2/alerts", "api/v2/alerts/groups", "../../../../metrics", "/resolve"):
        assert requests.get(f"{grafana.base}{PROXY}{path}", timeout=60).status_code in (404, 405)


def test_an_editor_cannot_act_as_another(grafana: StandIn, store: Store) -> None:
    """Grafana replaces what the browser says."""
    url = f"{grafana.base}{PROXY}api/v2/alerts?action=resolve&ids={id_of(store, 'prices')}"
    headers = {"X-Grafana-User": "boss", "X-Platform-Token": "wrong"}

    assert requests.post(url, headers=headers, timeout=60).status_code == 200
    assert audit(store)[0][0] == "ann"


def test_actions_may_post_nowhere_else(grafana: StandIn) -> None:
    """Grafana's allow-list has one address."""
    for path in ("/api/admin/users", f"{PROXY}api/v2/silences", f"{PROXY}api/v2/alerts/x"):
        action = actions.action("x", "resolve", "x")
        action["fetch"]["url"] = path
        assert grafana.run(action, {}).status_code == 405


def test_a_uid_typed_elsewhere_leads_nowhere(grafana: StandIn, store: Store) -> None:
    """Whoever sends a colleague a link with another uid, or with more of a path in it, makes them post nowhere."""
    for uid in ("platform-alertmanager", "x%2F..%2Fplatform-issues", "..%2F..%2Fuid%2Fplatform-issues"):
        filled = {"issues:percentencode": uid, "__data.fields.id": id_of(store, "prices")}
        assert grafana.run(row_action("Resolve"), filled).status_code == 405, uid

    assert set(statuses(store).values()) == {"open"}


def test_many_that_were_picked(grafana: StandIn, store: Store) -> None:
    """By a variable of several values."""
    ids = store.one("SELECT string_agg(id, ',') FROM monitoring.error_issue")
    answer = grafana.run(actions.action("x", "resolve", "x", ids="${issue:csv}"), {"issue:csv": ids})

    assert len(answer.json()["changed"]) == 2
    assert set(statuses(store).values()) == {"resolved"}


@pytest.mark.parametrize(("number", "status"), [("2", 200), ("3", 409), ("", 400)])
def test_all_that_the_filters_leave(grafana: StandIn, store: Store, number: str, status: int) -> None:
    """If they are as many as the panel says; values with any letter in them."""
    filled = {"app:json": '["shop","prices"]', "type:json": json.dumps(['a"},{"b', "ValueError"]), "text": "F&X=1"}
    filled["__data.fields.matching"] = number
    expected = "${__data.fields.matching}"
    action = actions.action(
        "x", "resolve", "x", expected=expected, app="${app:json}", type="${type:json}", search="${text}"
    )
    answer = grafana.run(action, filled)

    assert answer.status_code == status, answer.text
    assert set(statuses(store).values()) == ({"resolved"} if status == 200 else {"open"})


def test_who_did_it_must_be_known(grafana: StandIn, store: Store) -> None:
    """Without send_user_header, or by an anonymous visitor, nothing is changed; the answer says what to set."""
    grafana.send_user_header = False
    answer = grafana.run(row_action("Resolve"), {"__data.fields.id": id_of(store, "prices")})

    assert (answer.status_code, set(statuses(store).values())) == (403, {"open"})
    assert "send_user_header" in answer.json()["error"]


def post(exporter: Exporter, path: str, body: object = None, **headers: str) -> requests.Response:
    """Post as a script with the token does."""
    given = {"X-Platform-Token": TOKEN, "X-Grafana-User": "ann", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return requests.post(f"{exporter.base}{path}", json=body, headers=given, timeout=60)


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "0", "é"])
def test_without_the_token_nothing_happens(exporter: Exporter, store: Store, token: str) -> None:
    """Access to the exporter's port gives no rights."""
    body = {"ids": [id_of(store, "prices")]}
    for path in ("/api/v1/errors/resolve", "/api/v1/errors/grafana/api/v2/alerts?action=resolve"):
        response = requests.post(
            exporter.base + path,
            json=body,
            headers={"X-Platform-Token": token.encode(), "X-Grafana-User": "ann"},
            timeout=60,
        )
        assert response.status_code == 401
        assert "error" in response.json()
    assert TOKEN not in exporter.log


def test_a_script_ignores_until(exporter: Exporter, store: Store) -> None:
    """With a note, which is in the audit."""
    answer = post(exporter, "/api/v1/errors/ignore", {"ids": [id_of(store, "prices")], "for": "7d", "note": "known"})

    assert answer.json()["changed"][0]["status"] == "ignored"
    assert store.execute(
        "SELECT ignored_until - now() BETWEEN '6 days 23 h' AND '7 days' FROM monitoring.error_issue "
        "WHERE app = 'prices'"
    ) == [(True,)]
    assert store.one("SELECT details->>'note' FROM monitoring.audit") == "known"


def test_a_script_assigns_what_a_filter_leaves(exporter: Exporter, store: Store) -> None:
    """Those that nobody has; without a person, to the user named; a null person is none."""
    ids = {"ids": [id_of(store, "prices")]}
    first = post(exporter, "/api/v1/errors/assign", ids | {"person": None})
    rest = post(
        exporter, "/api/v1/errors/assign", {"filter": {"assignee": [""]}, "expected": 1, "person": "bob", "note": "new"}
    )

    assert [one["assignee"] for answer in (first, rest) for one in answer.json()["changed"]] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("resolve", {}, 400),
        ("resolve", {"ids": ["0" * 16]}, 404),
        ("resolve", {"ids": ["../etc"]}, 400),
        ("resolve", {"ids": "x"}, 400),
        ("resolve", {"filter": {}, "expected": 2}, 400),
        ("resolve", {"filter": {"app": ["shop"]}}, 400),
        ("resolve", {"filter": {"apps": ["shop"]}, "expected": 1}, 400),
        ("resolve", {"filter": {"app": ["shop"]}, "expected": 2}, 409),
        ("resolve", {"filter": {"search": "\0"}, "expected": 0}, 400),
        ("resolve", {"ids": ["0" * 16], "events": 3}, 400),
        ("ignore", {"ids": ["0" * 16], "until": "2020-01-01"}, 400),
        ("ignore", {"ids": ["0" * 16], "until": "2100-01-01", "for": "1d"}, 400),
        ("ignore", {"ids": ["0" * 16], "for": "soon"}, 400),
        ("comment", {"ids": ["0" * 16]}, 400),
        ("comment", {"ids": ["0" * 16], "note": "a\0"}, 400),
        ("comment", {"ids": ["0" * 16], "note": "x", "person": "bob"}, 400),
        ("assign", {"ids": ["0" * 16], "person": "a\nb"}, 400),
        ("assign", {"ids": ["0" * 16], "person": "x" * 201}, 400),
        ("assign", {"ids": ["0" * 16], "person": ["bob"]}, 400),
        ("assign", {"ids": ["0" * 16], "assignee": "bob"}, 400),
        ("unassign", {"ids": ["0" * 16]}, 404),
        ("delete", {"ids": ["0" * 16]}, 404),
    ],
)
def test_what_is_not_understood_changes_nothing(
    exporter: Exporter, store: Store, action: str, body: object, status: int
) -> None:
    """The answer says what was expected."""
    answer = post(exporter, f"/api/v1/errors/{action}", body)

    assert answer.status_code == status, answer.text
    assert set(statuses(store).values()) == {"open"}


def test_a_name_that_is_none_is_refused(exporter: Exporter, store: Store) -> None:
    """The audit holds who, not whatever."""
    for name in ("", "x" * 201, "a\tb"):
        answer = post(exporter, "/api/v1/errors/resolve", {"ids": [id_of(store, "prices")]}, X_Grafana_User=name)
        assert answer.status_code == 403


def test_a_name_may_be_of_any_letters(grafana: StandIn, store: Store) -> None:
    """Grafana sends UTF-8, as HTTP's headers do not."""
    grafana.login = "Żaneta".encode().decode("latin-1")
    grafana.run(row_action("Resolve"), {"__data.fields.id": id_of(store, "prices")})

    assert audit(store)[0][0] == "Żaneta"


def test_parameters_are_strict(exporter: Exporter, store: Store) -> None:
    """Unknown, repeated or in the body: nothing is guessed."""
    base = f"/api/v1/errors/grafana/api/v2/alerts?ids={id_of(store, 'prices')}"
    for rest in ("", "&action=delete", "&action=resolve&x=1", "&action=resolve&action=reopen",
                 "&action=ignore&for=1d&for=2d", "&action=ignore&events=many"):  # fmt: skip
        assert post(exporter, base + rest).status_code == 400
    half = "/api/v1/errors/grafana/api/v2/alerts?action=resolve&app=%5B%22%5Cud800%22%5D&expected=0"
    assert post(exporter, half).status_code == 400
    assert post(exporter, f"{base}&action=resolve", [{"labels": {}}]).status_code == 400
    assert set(statuses(store).values()) == {"open"}


def test_grafana_finds_its_data_source_well(exporter: Exporter) -> None:
    """Save & test asks for the status of an Alertmanager."""
    url = f"{exporter.base}/api/v1/errors/grafana/api/v2/status"

    assert requests.get(url, headers={"X-Platform-Token": TOKEN}, timeout=60).json()["cluster"]["status"] == "disabled"
    assert requests.get(url, timeout=60).status_code == 401


def test_without_a_token_in_the_configuration_it_is_off(store: Store, tmp_path: Path) -> None:
    """Nothing is open by default; the answer names the key."""
    with exporting(tmp_path, json.dumps({"database": {"dsn": store.dsn}})) as other:
        answer = post(other, "/api/v1/errors/resolve", {"ids": ["0" * 16]})

    assert answer.status_code == 404
    assert "errors.token_file" in answer.json()["error"]


def test_issues_are_merged_and_split_by_scripts(exporter: Exporter, store: Store) -> None:
    """The first of the ids stays; the answer names what became of each."""
    store.execute(
        "INSERT INTO monitoring.error_issue (app, fingerprint, severity, error_type, first_seen, last_seen, events) "
        "VALUES ('shop', 'other', 'low', 'KeyError', now(), now(), 5)"
    )
    ids = [id_of(store, "shop", "KeyError"), id_of(store, "shop", 'a"},{"b')]

    def ask(verb: str, **body: object) -> requests.Response:
        headers = {"X-Platform-Token": TOKEN, "X-Grafana-User": "bot"}
        url = f"{exporter.base}/api/v1/errors/{verb}"
        return requests.post(url, json=body, headers=headers, timeout=PATIENCE_SECONDS)

    merged, gone, split = ask("merge", ids=ids), ask("resolve", ids=ids), ask("split", ids=ids[:1])
    alone, twice = ask("merge", ids=ids[:1]), ask("merge", ids=ids[:1] * 2)
    again, other = ask("split", ids=ids[:1]), ask("split", ids=ids[:1], fingerprints=["x"])

    assert [one["id"] for one in merged.json()["changed"]] == ids
    assert {one["fingerprint"] for one in merged.json()["changed"]} == {"other"}
    assert (gone.status_code, gone.json()["error"]) == (
        404, f"issue {ids[1]} was merged into {ids[0]}; nothing was changed",
    )  # fmt: skip
    assert [one["fingerprint"] for one in split.json()["changed"]] == ["other", 'f&x=1 a"},{"b']
    assert (alone.status_code, alone.json()) == (400, {"error": "1 issue to merge: expected at least two"})
    assert (twice.status_code, twice.json()["error"][:27]) == (400, "the same id was given twice")
    assert (again.status_code, again.json()["error"][:34]) == (400, f"nothing was merged into issue {ids[0][:4]}")
    assert (other.status_code, other.json()["error"][:39]) == (404, "no fingerprint 'x' was merged into issu")
    assert [row[:2] for row in audit(store)] == [("bot", "error.merge")] * 2 + [("bot", "error.split")] * 2
