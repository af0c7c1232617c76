"""The dashboards' queries of PostgreSQL run on the views, as the role of their data source, and find rows."""

import re
from collections.abc import Sequence

import pytest

from grafana.design.targets import SOURCES
from tests.grafana.boards import BOARDS, DASHBOARDS, POSTGRESQL, every_dashboard
from tools.testing.dashboard_sql import ROLES, Viewer, expanded, targets


@every_dashboard
def test_panels_find_rows(viewer: Viewer, name: str) -> None:
    """Every query runs with the rights of its data source and finds something, or its panel says why not."""
    chosen = viewer.chosen(name)
    for panel, target in targets(name):
        answer = viewer.ask(target["datasource"]["uid"], target["rawSql"], chosen)
        assert answer.rows or panel["title"] in BOARDS[name].may_be_empty, panel["title"]


def test_a_sampled_request_counts_as_many_as_it_stands_for(viewer: Viewer) -> None:
    """One row may stand for ten requests: of one user there are as many as in the list of all."""
    found = {panel["title"]: target["rawSql"] for panel, target in targets("users")}

    def requests(title: str, user: str = "") -> tuple[str, float]:
        chosen = viewer.chosen("users") | {"user": [user]}
        answer = viewer.ask("${restricted}", found[title], chosen)
        first = dict(zip(answer.columns, answer.rows[0], strict=True))
        return first["user_id"], first["requests"]

    user, expected = requests("Top users")
    course = viewer.ask("${restricted}", found["Activity of one user"], viewer.chosen("users") | {"user": [user]})

    assert requests("One user", user) == (user, expected)
    assert sum(value for _, metric, value in course.rows if metric == "request") == expected


@every_dashboard
def test_variables_offer_something(viewer: Viewer, name: str) -> None:
    """A choice without values leaves every panel empty."""
    assert all(viewer.chosen(name).values())


@every_dashboard
def test_all_is_a_list_in_sql(name: str) -> None:
    """Grafana puts a variable's own value of All into a query as it is: `app IN (.*)` is not SQL."""
    given = {one["name"] for one in DASHBOARDS[name]["templating"]["list"] if one.get("allValue")}
    for panel, target in targets(name):
        assert not given & set(re.findall(r"\$\{(\w+):sqlstring\}", target["rawSql"])), panel["title"]


def test_a_platform_without_scrapers_shows_no_error(viewer: Viewer) -> None:
    """Grafana inserts nothing for a choice without values: `IN ()` would be refused."""
    nothing: dict[str, Sequence[str]] = {"app": [], "scraper": [], "site": [""]}

    for panel, target in targets("scraping"):
        assert viewer.ask(target["datasource"]["uid"], target["rawSql"], nothing).rows == [], panel["title"]


@every_dashboard
def test_columns_are_there(viewer: Viewer, name: str) -> None:
    """A table lists all columns of its query, each with a heading, and no others; a time series has its time."""
    chosen = viewer.chosen(name)
    for panel, target in targets(name):
        columns = set(viewer.ask(target["datasource"]["uid"], target["rawSql"], chosen).columns)
        renamed = {
            new for one in panel.get("transformations", []) for new in one["options"].get("renameByName", {}).values()
        }
        named = {
            one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"] if one["matcher"]["id"] == "byName"
        }
        if panel["type"] == "table":
            assert named <= columns | renamed, (panel["title"], named - columns - renamed)
            assert columns <= named or not panel["options"]["showHeader"], (panel["title"], columns - named)
        if target["format"] == "time_series":
            assert "time" in columns, panel["title"]


def test_every_sql_data_source_has_its_role() -> None:
    """A new data source is asked here with the rights it will have."""
    asked = {target["datasource"]["uid"] for name in DASHBOARDS for _, target in targets(name)}

    assert asked <= set(ROLES)
    assert {source.reference().uid for source in SOURCES if source.kind == POSTGRESQL} == set(ROLES)


def test_a_viewer_writes_no_sql() -> None:
    """A variable outside ${NAME:sqlstring} would put typed text into the query unescaped."""
    with pytest.raises(AssertionError, match="search"):
        expanded("SELECT * FROM t WHERE message LIKE '%$search%'", 0, 60, {"search": ["x"]})

    assert expanded("SELECT ${search:sqlstring}", 0, 60, {"search": ["it's"]}) == "SELECT 'it''s'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$__timeFilter(at)", "at BETWEEN '1970-01-01T00:00:00+00:00' AND '1970-01-01T01:00:00+00:00'"),
        ("$__timeGroupAlias(at, $__interval)", 'floor(extract(epoch from at)/60)*60 AS "time"'),
        ("$__timeGroup(date_trunc('day', at), '5m')", "floor(extract(epoch from date_trunc('day', at))/300)*300"),
        (
            "at > $__timeFrom() AND at < $__timeTo()",
            "at > '1970-01-01T00:00:00+00:00' AND at < '1970-01-01T01:00:00+00:00'",
        ),
    ],
)
def test_macros_are_grafanas(text: str, expected: str) -> None:
    """They expand as pkg/tsdb/grafana-postgresql-datasource/macros.go does."""
    assert expanded(text, 0, 3600, {}) == expected
