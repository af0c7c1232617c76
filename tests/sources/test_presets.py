"""Compare the two presets with plain SQL over the raw tables, before and after more rows, good and bad ones, arrive."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_sdk.events import api_call, http_request, scraping_run
from tests.servers import fresh_database
from tests.sources.demo import DemoSource, Series, placeholders, without
from tools.stack import databases
from tools.stack.servers import Postgres

FOLDER = Path(__file__).parent


def read(preset: str) -> tuple[dict[str, str], dict[str, tuple[tuple[str, ...], str]]]:
    """Return the conditions of good rows, and labels and query by series, of a file of plain SQL."""
    text = (FOLDER / f"{preset}_expected.sql").read_text()
    good = dict(re.findall(r"^-- :(\w+) (.*)$", text, re.MULTILINE))
    queries = {}
    for name, labels, query in re.findall(r"^-- (\w+): ?(.*)\n((?:(?!--).*\n)+?)(?=\n|\Z)", text, re.MULTILINE):
        for word, condition in good.items():
            query = query.replace(f":{word}", condition)
        queries[name] = (tuple(filter(None, labels.split(", "))), query)
    return good, queries


GOOD_STRATLOGIC, STRATLOGIC = read("stratlogic")
GOOD_SCITEX, SCITEX = read("scitex")

Values = dict[tuple[tuple[str, str], ...], float]


@dataclass(frozen=True)
class Phase:
    """What the exporter showed and what plain SQL gave at the same time."""

    source: DemoSource
    series: Series
    expected: dict[str, Values]
    routes: list[tuple[object, ...]]


def measure(source: DemoSource, queries: dict[str, tuple[tuple[str, ...], str]]) -> Phase:
    """Count, and run plain SQL before and after; repeat if a user left a window of active users meanwhile."""
    expected = expected_by_sql(source, queries)
    while True:
        series, before = source.poll(), expected
        expected = expected_by_sql(source, queries)
        if expected == before:
            break
    routes: list[tuple[object, ...]] = []
    if source.preset == "scitex":
        routes = source.database.execute(
            f"SELECT endpoint, value FROM monitoring_app_systemmetric WHERE {GOOD_SCITEX['good_request']}"
        )
    return Phase(source, series, expected, routes)


def expected_by_sql(source: DemoSource, queries: dict[str, tuple[tuple[str, ...], str]]) -> dict[str, Values]:
    """Return what plain SQL gives now."""
    return {name: source.sql(query, labels) for name, (labels, query) in queries.items()}


def load(postgres: Postgres, preset: str, folder: Path) -> Iterator[DemoSource]:
    """Load a demonstration database, moved to the present as `make up` does, and adopt its tables."""
    with fresh_database(postgres) as database:
        database.load_sql(databases.dump_of(preset))
        with postgres.connect(database.name) as connection:
            databases.move_to_now(connection)
        source = DemoSource(database, preset, folder)
        adopted = source.adopt()
        assert adopted.exit_code == 0, adopted.output
        yield source


@pytest.fixture(scope="module")
def stratlogic(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Phase]]:
    """Return the StratLogic database before and after more rows arrived."""
    for source in load(postgres, "stratlogic", tmp_path_factory.mktemp("stratlogic")):
        before = measure(source, STRATLOGIC)
        source.database.load_sql(FOLDER / "stratlogic_more.sql")
        yield {"before": before, "after": measure(source, STRATLOGIC)}


@pytest.fixture(scope="module")
def scitex(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Phase]]:
    """Return the SciTeX database before and after more rows arrived."""
    for source in load(postgres, "scitex", tmp_path_factory.mktemp("scitex")):
        before = measure(source, SCITEX)
        source.database.load_sql(FOLDER / "scitex_more.sql")
        yield {"before": before, "after": measure(source, SCITEX)}


def agree(phase: Phase, name: str, labels: tuple[str, ...]) -> None:
    """Assert that a family's series, summed to these labels, are what SQL says."""
    others = {label for key in phase.series[name] for label, _ in key} - set(labels)
    found = without(phase.series[name], *others)

    assert found == pytest.approx({key: value for key, value in phase.expected[name].items() if value}, rel=1e-9)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", list(STRATLOGIC))
def test_stratlogic_agrees_with_plain_sql(stratlogic: dict[str, Phase], name: str, when: str) -> None:
    """Every counter, histogram and state of the StratLogic tables is what plain SQL over the raw tables says."""
    agree(stratlogic[when], name, STRATLOGIC[name][0])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", list(SCITEX))
def test_scitex_agrees_with_plain_sql(scitex: dict[str, Phase], name: str, when: str) -> None:
    """Every counter, histogram and state of the SciTeX tables is what plain SQL over the raw tables says."""
    agree(scitex[when], name, SCITEX[name][0])


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_family_is_compared(stratlogic: dict[str, Phase], scitex: dict[str, Phase], when: str) -> None:
    """No family of either preset goes without a comparison: only buckets, created times and the rest are left."""
    for phases, queries in ((stratlogic, STRATLOGIC), (scitex, SCITEX)):
        named = {n for n in phases[when].series if not n.endswith(("_bucket", "_created")) and "_exporter_" not in n}
        busy = {name for name in named if any(phases[when].series[name].values())}

        assert busy - set(queries) - {"platform_sample_active_connections", "platform_active_sessions"} <= {
            name for name in busy if name.startswith("platform_sample_")
        }


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_route_is_a_placeholders(scitex: dict[str, Phase], when: str) -> None:
    """Ids, UUIDs and hashes in raw paths become placeholders, and every path is counted under its route."""
    phase = scitex[when]
    expected: dict[tuple[tuple[str, str], ...], float] = {}
    for endpoint, _ in phase.routes:
        route = placeholders(endpoint)
        key = (("route", route),) if route else ()
        expected[key] = expected.get(key, 0) + 1

    assert without(phase.series["platform_http_requests_total"], "app", "method", "code") == expected


def test_routes_of_new_rows(scitex: dict[str, Phase]) -> None:
    """The placeholders are those a person would expect."""
    routes = {dict(labels).get("route") for labels in scitex["after"].series["platform_http_requests_total"]}

    assert {
        "/api/items/{id}/", "/a/{id}/{id}/{id}", "/{id}", "/u/{uuid}", "/U/{uuid}/{id}", "/blob/{hash}/raw",
        "/deadbeefdeadbeefdeadbeef/", "/v2/deed/", "(unmatched)", None,
    } <= routes  # fmt: skip


BUCKETS = [
    ("scitex", "platform_http_request_duration_seconds", http_request.BOUNDS,
     f"SELECT value / 1000 FROM monitoring_app_systemmetric WHERE {GOOD_SCITEX['good_request']}"),
    ("scitex", "platform_api_call_duration_seconds", api_call.BOUNDS,
     f"SELECT response_time / 1000 FROM monitoring_app_apiusagemetric WHERE {GOOD_SCITEX['good_call']}"),
    ("stratlogic", "platform_scraping_run_duration_seconds", scraping_run.BOUNDS,
     f"SELECT duration_ms / 1000 FROM scraping_metrics WHERE {GOOD_STRATLOGIC['good_run']}"),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "name", "bounds", "query"), BUCKETS, ids=[name for _, name, _, _ in BUCKETS])
def test_buckets_agree_with_the_values(
    request: pytest.FixtureRequest, preset: str, name: str, bounds: tuple[float, ...], query: str
) -> None:
    """Every bucket holds as many rows as have a value up to its bound."""
    phase = request.getfixturevalue(preset)["after"]
    values = [value for (value,) in phase.source.database.execute(query)]
    found: dict[str, float] = {}
    for labels, count in phase.series[f"{name}_bucket"].items():
        found[dict(labels)["le"]] = found.get(dict(labels)["le"], 0) + count

    assert found == {repr(bound): sum(v <= bound for v in values) for bound in bounds} | {"+Inf": len(values)}


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("stratlogic", {"null": 3, "negative": 3, "future": 2, "malformed": 4}),
        ("scitex", {"null": 1, "negative": 2, "not_finite": 2}),
    ],
)
def test_bad_rows_are_rejected_one_by_one(
    request: pytest.FixtureRequest, preset: str, expected: dict[str, float]
) -> None:
    """Broken JSON, nulls, negative and impossible values are counted by reason, and stop nothing."""
    before, after = (request.getfixturevalue(preset)[when].series for when in ("before", "after"))
    name = "platform_exporter_rows_rejected_total"
    rejected = without(after.get(name, {}), "source", "app")
    for labels, count in without(before.get(name, {}), "source", "app").items():
        rejected[labels] -= count

    assert {dict(labels)["reason"]: count for labels, count in rejected.items() if count} == expected


def test_demo_has_malformed_labels_from_the_start(stratlogic: dict[str, Phase]) -> None:
    """The malformed JSON that is in the demonstration data was rejected, and counted as such."""
    bad = stratlogic["before"].source.database.execute(
        "SELECT count(*) FROM performance_metrics WHERE labels NOT LIKE '{%}' AND created_at <> updated_at"
    )
    rejected = stratlogic["before"].series.get("platform_exporter_rows_rejected_total", {})

    assert sum(rejected.values()) >= bad[0][0]


def test_nothing_is_counted_twice(scitex: dict[str, Phase]) -> None:
    """Polling again without new rows changes no series but those of time."""
    again = scitex["after"].source.poll()

    assert {name: again[name] for name in again if "active" not in name} == {
        name: values for name, values in scitex["after"].series.items() if "active" not in name
    }


REASONS = {
    "HTTP 429 Too Many Requests": "rate_limited", "rate limit exceeded": "rate_limited", "403 Forbidden": "forbidden",
    "captcha shown": "blocked", "Read timed out": "timeout", "connection reset by peer": "connection",
    "HTTP 503": "server_error", "selector matched nothing": "parse", "cancelled by user": "cancelled", "?": "other",
}  # fmt: skip


def test_messages_become_reasons(postgres: Postgres, tmp_path: Path) -> None:
    """Of a failed run's message a closed reason is made; without a message it is `other`."""
    for source in load(postgres, "stratlogic", tmp_path):
        before = source.poll()["platform_scraping_run_failures_total"]
        for message in (*REASONS, None):
            source.database.execute(
                "INSERT INTO scraping_metrics (id, job_id, scraper_type, success, duration_ms, error_message) "
                "VALUES (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), %s, 0, 1, %s)",
                [message or "none", message],
            )  # fmt: skip
        after = source.poll()["platform_scraping_run_failures_total"]
        new = {labels: value for labels, value in after.items() if value and labels not in before}

        assert {dict(labels)["scraper"]: dict(labels)["reason"] for labels in new} == REASONS | {"none": "other"}
