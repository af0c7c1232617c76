"""Rows that make no sense are rejected one by one, counted by reason, and stop nothing."""

import re

import pytest

from exporter.aggregation import issues, rollup
from exporter.config.settings import Source
from exporter.sources import mapping
from exporter.sources.mapping import Stream
from tests.aggregation.counting import NATIVE, Store

STRATLOGIC = mapping.plan(Source(preset="stratlogic"))

GOOD = {"at": "now()", "app": "'a'", "route": "'/x'", "status": "200", "duration_seconds": "0.2"}
SAMPLE = {"at": "now()", "app": "'a'", "name": "'m'", "kind": "'counter'", "value": "1"}


def add(store: Store, kind: str, values: dict[str, str]) -> None:
    store.execute(f"INSERT INTO monitoring.{kind} ({', '.join(values)}) VALUES ({', '.join(values.values())})")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"at": "now() + '6 minutes'"}, "future"),
        ({"at": "'infinity'"}, "future"),
        ({"at": "'-infinity'"}, "future"),
        ({"duration_seconds": "-0.1"}, "negative"),
        ({"duration_seconds": "'NaN'"}, "not_finite"),
        ({"duration_seconds": "'Infinity'"}, "not_finite"),
        ({"duration_seconds": "'-Infinity'"}, "not_finite"),
        ({"duration_seconds": "1e308"}, "out_of_range"),
        ({"weight": "0"}, "out_of_range"),
        ({"weight": "1.5"}, "fractional"),
        ({"weight": "1e8 + 0.1"}, "fractional"),
        ({"weight": "-1"}, "negative"),
        ({"weight": "'NaN'"}, "not_finite"),
        ({"weight": "1e308", "duration_seconds": "1e308"}, "out_of_range"),
    ],
    ids=str,
)
def test_a_bad_request(store: Store, changed: dict[str, str], reason: str) -> None:
    """Two of each beside a good one: a sum of what is rejected must not overflow either."""
    for values in (GOOD | changed, GOOD, GOOD | changed):
        add(store, "http_request", values)
    store.poll("http_request")

    assert store.rejected() == {reason: 2}
    assert store.value("platform_http_requests_total") == 1


@pytest.mark.parametrize(
    ("cost", "reason"), [("-0.01", "negative"), ("'NaN'", "not_finite"), ("1e308", "out_of_range")]
)
def test_a_bad_cost(store: Store, cost: str, reason: str) -> None:
    """What calls cost is a counter: it never falls, nor ends at infinity."""
    call = {"at": "now()", "app": "'a'", "api": "'x'", "outcome": "'success'", "duration_seconds": "1", "cost": "0.5"}
    for values in (call | {"cost": cost}, call, call | {"cost": "NULL"}):
        add(store, "api_call", values)
    store.poll("api_call")

    assert store.rejected() == {reason: 1}
    assert store.value("platform_api_cost_total") == 0.5


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "'odd'"}, "malformed"),
        ({"labels": "'[1]'"}, "malformed"),
        ({"labels": "'\"text\"'"}, "malformed"),
        ({"name": "'日本'"}, "malformed"),
        ({"name": "''"}, "malformed"),
        ({"value": "-1"}, "negative"),
        ({"value": "-1", "kind": "'histogram'"}, "negative"),
        ({"value": "-1e-320", "kind": "'Summary'"}, "negative"),
        ({"value": "'-Infinity'"}, "not_finite"),
        ({"value": "'-Infinity'", "kind": "'histogram'"}, "not_finite"),
        ({"value": "'NaN'", "unit": "'gb'"}, "not_finite"),
        ({"value": "1e308", "unit": "'gb'"}, "out_of_range"),
        ({"value": "-1e16", "kind": "'gauge'"}, "out_of_range"),
    ],
    ids=str,
)
def test_a_bad_sample(store: Store, changed: dict[str, str], reason: str) -> None:
    """Two of each beside a good one."""
    for values in (SAMPLE | changed, SAMPLE, SAMPLE | changed):
        add(store, "sample", values)
    store.poll("sample")

    assert store.rejected() == {reason: 2}
    assert store.value("platform_sample_m_total") == 1


@pytest.mark.parametrize(
    ("value", "kind"), [("1e-320", "histogram"), ("5e-324", "summary"), ("1e-320", "gauge"), ("-1e-320", "gauge")]
)
def test_the_smallest_numbers_underflow_nowhere(store: Store, value: str, kind: str) -> None:
    """PostgreSQL raises an error where a product becomes 0; a nanosecond of almost nothing must not stop a stream."""
    add(store, "sample", SAMPLE | {"value": value, "unit": "'ns'", "kind": f"'{kind}'"})
    add(store, "sample", SAMPLE)
    store.poll("sample")

    assert store.value("platform_sample_m_total") == 1


def test_the_largest_numbers_add_up(store: Store) -> None:
    """Values just in range, of the largest unit and the largest weight, overflow nothing."""
    for _ in range(3):
        add(store, "sample", SAMPLE | {"value": "1e15", "unit": "'gib'"})
        add(store, "http_request", GOOD | {"duration_seconds": "1e9", "weight": "1e9"})
    store.poll("sample", "http_request")

    assert store.value("platform_sample_m_bytes_total") == pytest.approx(3e15 * 2**30)
    assert store.one("SELECT total FROM monitoring.rollup WHERE type = 'histogram'") == pytest.approx(3e18)


def test_json_null_labels_are_no_labels(store: Store) -> None:
    """A JSON null is nothing, not malformed."""
    add(store, "sample", SAMPLE | {"labels": "'null'"})
    store.poll("sample")

    assert store.series("platform_sample_m_total") == {("a",): 1}


def test_labels_of_every_json_type(store: Store) -> None:
    """Numbers become text, nested values their JSON, and a null is left out."""
    add(store, "sample", SAMPLE | {"labels": """'{"table": 1.5, "endpoint": null}'"""})
    add(store, "sample", SAMPLE | {"labels": """'{"table": {"a": [1]}}'"""})
    store.poll("sample")

    assert set(store.series("platform_sample_m_total")) == {("a", "1.5"), ("a", '{"a": [1]}')}


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("http_request", "at, app, route, method, status, duration_seconds"),
        ("user_activity", "at, app, activity, role"),
        ("error", "at, app, error_type, fingerprint, severity"),
        ("api_call", "at, app, api, outcome, duration_seconds"),
        ("scraping_run", "at, app, scraper, outcome, duration_seconds"),
        ("sample", "at, app, name, kind, value, unit, labels"),
    ],
)
def test_very_long_texts_stop_nothing(store: Store, kind: str, columns: str) -> None:
    """A megabyte of incompressible text of four bytes a letter in every column fits in every index."""
    store.execute("CREATE TABLE noise AS SELECT string_agg(chr(66000 + (random() * 50000)::int), '') AS text "
                  "FROM generate_series(1, 250000)")  # fmt: skip
    labels = "jsonb_build_object('endpoint', text, 'table', reverse(text))"
    given = {"at": "now()", "status": "200", "duration_seconds": "1", "value": "1", "kind": "'gauge'", "labels": labels}
    values = ", ".join(given.get(column, "text") for column in columns.split(", "))
    if kind == "sample":
        values = values.replace("text, 'gauge'", "'m' || text, 'gauge'", 1)
    store.execute(f"INSERT INTO monitoring.{kind} ({columns}) SELECT {values} FROM noise")

    assert store.poll(kind)[kind].seen == 1
    assert store.one("SELECT max(length(labels::text)) FROM monitoring.rollup") < 3000


def test_odd_characters_in_labels(store: Store) -> None:
    """Quotes, backslashes, line ends, percent signs and braces come back as they were."""
    odd = "a\"b'c\\d\ne%s{f}é\U0001f600\x01"
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
        "VALUES (now(), 'a', %s, 200, 1)",
        [odd],
    )
    store.poll("http_request")

    assert store.series("platform_http_request_duration_seconds") == {("a", odd): 1}


def test_other_as_a_route_of_its_own(store: Store) -> None:
    """A client that names its route as we name the rest shares that series."""
    add(store, "http_request", GOOD | {"route": "'_other_'"})
    store.poll("http_request")

    assert store.value("platform_http_requests_total", route="_other_") == 1


def test_a_row_of_long_ago_counts(store: Store) -> None:
    """A late event, even of the year 1, is not an error; it waits in the default partition."""
    add(store, "http_request", GOOD | {"at": "'0001-01-01 00:00:00+00 BC'"})
    store.poll("http_request")

    assert store.value("platform_http_requests_total") == 1


@pytest.mark.parametrize("stream", NATIVE.streams + STRATLOGIC.streams, ids=lambda stream: stream.name)
def test_capital_letters_in_turkish(stream: Stream) -> None:
    """Where lower('I') is a dotless i, HISTOGRAM is still a histogram: case changes as in C, whatever the database."""
    sql = rollup.statement(stream, "true") + issues.statement(stream, "true")

    assert re.findall(r"(?:lower|upper)\((?![^()]*(?:\([^()]*\)[^()]*)?COLLATE \"C\"\)).*", sql) == []


def test_rejected_rows_name_their_app(store: Store) -> None:
    """By reason and app; a row without an app, or with one that is not known, is counted all the same."""
    for app in ("'a'", "'a'", "'b'", "NULL"):
        add(
            store,
            "sample",
            SAMPLE | {"app": app, "value": "'NaN'"} if app != "NULL" else SAMPLE | {"app": "''", "value": "'NaN'"},
        )
    store.poll("sample")
    found = store.series("platform_exporter_rows_rejected_total")

    assert found == {("a", "not_finite", "native"): 2, ("b", "not_finite", "native"): 1, ("not_finite", "native"): 1}


def test_made_up_apps_of_rejected_rows_are_bounded(store: Store) -> None:
    """The first are named, and stay so; all others are one."""
    insert = (
        "INSERT INTO monitoring.sample (at, app, name, kind, value) "
        "SELECT now(), %s || i, 'm', 'counter', 'NaN' FROM generate_series(1, 1000) i"
    )
    add(store, "sample", SAMPLE | {"app": "'first'", "value": "'NaN'"})
    store.poll("sample")
    for prefix in ("x", "y"):
        store.execute(insert, [prefix])
        store.poll("sample")
    found = store.series("platform_exporter_rows_rejected_total")

    assert len(found) == rollup.REJECTING_APPS + 1
    assert found["first", "not_finite", "native"] == 1
    assert sum(found.values()) == 2001
