"""The dashboards' queries of Prometheus are valid, use series and labels that exist, and find data."""

import re
from functools import cache, partial

from exporter.exposition.families import FAMILIES, series_names
from platform_sdk.events.sample import PREFIX
from tests.grafana.boards import BOARDS, DASHBOARDS, Query, every_dashboard, filled, panels, promql
from tests.grafana.conftest import Hour
from tests.grafana.foreign import ALERTS, FOREIGN
from tests.grafana.promql import grouped, made, matched, parsed, selectors
from tests.prometheus.names import ROOT, recorded, rules
from tools.stack.servers import Prometheus

SCRAPED = {"job", "instance", "le"}


@every_dashboard
def test_queries_find_data(hour: Hour, name: str) -> None:
    """Every panel, variable and annotation has data in an hour with incidents, or its module says why not."""
    empty = [
        f"{query.place}: {filled(query.text)}"
        for query in promql(name)
        if not query.may_be_empty and not found(hour, query)
    ]

    assert empty == []


@every_dashboard
def test_legends_name_labels_there_are(hour: Hour, name: str) -> None:
    """A label that no series has would leave a hole in every legend."""
    holes = []
    for query in promql(name):
        expected = set(re.findall(r"{{ *(\w+) *}}", query.legend)) - {"__name__", "le"}
        series = found(hour, query) if expected else []
        labels = {label for one in series for label in one["metric"]}  # type: ignore[attr-defined]
        if series and not expected <= labels:
            holes.append((query.place, expected - labels))

    assert holes == []


@every_dashboard
def test_only_existing_series(parser: Prometheus, name: str) -> None:
    """A panel on a series that does not exist would always stay empty."""
    known = {series for family in FAMILIES.values() for series in series_names(family)}
    known |= recorded() | set(FOREIGN) | set(ALERTS) | {""}
    asked = {
        (query.place, selector["name"])
        for query in promql(name)
        for selector in selectors(parsed(parser, filled(query.text)))
    }

    assert {
        (place, series) for place, series in asked if series not in known and not series.startswith(PREFIX)
    } == set()


@every_dashboard
def test_only_existing_labels(parser: Prometheus, hour: Hour, name: str) -> None:
    """A selector on a label that a series lacks finds nothing or everything, and `by` of one groups nothing."""
    of = cache(partial(labels_of, hour))
    lacking: list[tuple[str, object]] = []
    for query in promql(name):
        tree = parsed(parser, filled(query.text))
        lacking += [(query.place, one) for one in selectors(tree) if not matched(one) <= of(one["name"])]
        for labels, node in grouped(tree):
            there = made(node).union(*(of(selector["name"]) for selector in selectors(node)))
            if not labels <= there:
                lacking.append((query.place, labels - there))

    assert lacking == []


@every_dashboard
def test_merged_tables_leave_out_no_row(hour: Hour, name: str) -> None:
    """Rows that differ in nothing but a label that the table does not list would be one."""
    for panel in panels(DASHBOARDS[name]):
        grouped_by = next((one["options"] for one in panel.get("transformations", []) if one["id"] == "groupBy"), None)
        for target in panel["targets"] if grouped_by else ():
            listed = {label for label, how in grouped_by["fields"].items() if how["operation"] == "groupby"}
            found_rows = [one["metric"] for one in hour.at_end(filled(target["expr"]))]
            shown = {tuple(row.get(label) for label in listed) for row in found_rows}  # type: ignore[attr-defined]
            assert len(shown) == len(found_rows), (panel["title"], target["refId"])


def found(hour: Hour, query: Query) -> list[dict[str, object]]:
    """Return what a query finds in the hour, at its end where it is an instant one."""
    ask = hour.at_end if query.instant else hour.over
    return ask(filled(query.text))


def labels_of(hour: Hour, name: str) -> set[str]:
    """Return the labels of a series: declared ones, those a rule gives or names first, and those seen in the hour."""
    declared = {series: set(family.labels) for family in FAMILIES.values() for series in series_names(family)}
    given = {label for rule in rules() if name in (rule.get("record"), "ALERTS") for label in rule.get("labels", {})}
    selector = f'{{__name__="{name}"}}' if name else '{__name__=~"platform_.+"}'
    seen = set(hour.server.get("/api/v1/labels", **{"match[]": selector})["data"])
    level = set(name.partition(":")[0].split("_")) if ":" in name else set()
    return declared.get(name, set()) | given | level | seen | SCRAPED


def test_every_family_is_in_the_hour(hour: Hour) -> None:
    """The demo data follow the declaration: a new family is included at once, with all its labels."""
    for family in FAMILIES.values():
        if family.name != "platform_threshold":
            [name, *_] = series_names(family)
            [sample, *_] = hour.at_end(name)
            assert set(family.labels) - {"app"} <= set(sample["metric"]), name  # type: ignore[call-overload]


def test_the_incidents_were_noticed(hour: Hour) -> None:
    """The hour begins healthy, is critical in its middle, recovers, and is critical at its end."""
    [series] = hour.over("global:platform_health:max")
    states = [float(value) for _, value in series["values"]]  # type: ignore[attr-defined]

    assert max(states[8:19]) < 2
    assert states[25] == states[-1] == 2
    assert min(states[32:49]) < 2


@every_dashboard
def test_queries_parse_on_both_generations(parser: Prometheus, hour: Hour, name: str) -> None:
    """2.42 has evaluated them all above; the newest release accepts them too."""
    for query in promql(name):
        parser.query(filled(query.text))


def test_the_runbooks_queries_parse(hour: Hour, parser: Prometheus) -> None:
    """The queries in the runbook are valid PromQL."""
    runbook = (ROOT / "prometheus/runbook.md").read_text()
    found = re.findall(r"promtool query instant \$PROM '([^']+)'", runbook)
    assert len(found) == runbook.count("promtool query instant")

    for expression in found:
        hour.at_end(expression)
        parser.query(expression)


def test_exceptions_are_of_existing_panels() -> None:
    """An exception for a panel that no longer exists is a leftover."""
    for name, board in DASHBOARDS.items():
        titles = {panel["title"] for panel in panels(board)} | {
            one["name"] for one in board["annotations"].get("list", [])
        }
        assert set(BOARDS[name].may_be_empty) <= titles
