"""Show what real rows become, from the event tables to the exposition."""

from collections.abc import Iterator
from itertools import count

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.aggregation.poller import Worker
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Source
from exporter.database import schema
from exporter.exposition import collector
from exporter.exposition.negotiation import Format
from exporter.sections import Secret
from exporter.sources import mapping
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres

numbers = count()


def expose(database: Database, *labels: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Poll the event store once and return its series as a strict parser reads them: (name, labels) -> value."""
    source = Source(sample_labels=labels)
    worker = Worker(mapping.plan(source), Settings(dsn=Secret(database.dsn)), Limits(), Retention())
    worker.poll()
    worker._disconnect()
    assert worker.view.problems == ()
    form = Format("application/openmetrics-text")
    body = form.join([form.encode(collector.counted([worker.view], created=True))]).decode()
    samples = [sample for family in parse_openmetrics(body) for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[Database]:
    """Return a database with the event store in it, shared: every test writes as an application of its own."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        yield database


@pytest.fixture
def app() -> str:
    """Return the name of this test's application."""
    return f"app{next(numbers)}"


def observe(store: Database, app: str, name: str, kind: str, value: float, unit: str | None = None,
            labels: str = "{}") -> None:  # fmt: skip
    """Store one sample."""
    store.execute(
        "INSERT INTO monitoring.sample (at, app, name, kind, value, unit, labels) "
        "VALUES (now(), %s, %s, %s, %s, %s, %s)",
        [app, name, kind, value, unit, labels],
    )


@pytest.mark.parametrize(
    ("name", "unit", "family", "value", "below", "above"),
    [
        ("answer", "s", "answer_seconds", 0.3, "0.25", "0.5"),
        ("answer", "ms", "answer_seconds", 300, "0.25", "0.5"),
        ("answer_seconds", None, "answer_seconds", 0.3, "0.25", "0.5"),
        ("Answer-Seconds!", "", "answer_seconds", 0.3, "0.25", "0.5"),
        ("answer", "cpu seconds", "answer_cpu_seconds", 0.3, "0.25", "0.5"),
        ("page_bytes", "count", "page_bytes", 2e6, "1000000.0", "5000000.0"),
        ("page", "MB", "page_bytes", 2, "1000000.0", "5000000.0"),
        ("depth", None, "depth", 7, "5.0", "10.0"),
        ("depth", "pages", "depth_pages", 7, "5.0", "10.0"),
    ],
)
def test_sample_is_in_the_bucket_its_value_belongs_to(
    store: Database, app: str, name: str, unit: str | None, family: str, value: float, below: str, above: str
) -> None:
    """A histogram's bounds are those of its base unit, whether the unit stands in `unit` or in the name."""
    observe(store, app, name, "histogram", value, unit)

    series = expose(store)

    assert series[f"platform_sample_{family}_bucket", (("app", app), ("le", below))] == 0
    assert series[f"platform_sample_{family}_bucket", (("app", app), ("le", above))] == 1


def test_names_that_clash_are_told_apart(store: Database, app: str) -> None:
    """A gauge, a histogram, a summary and a counter of one name are four families, the first one under that name."""
    observe(store, app, "clash", "gauge", 5)
    expose(store)
    for kind in ("histogram", "summary", "counter"):
        observe(store, app, "clash", kind, 5)

    series = expose(store)

    assert series["platform_sample_clash", (("app", app),)] == 5
    assert series["platform_sample_clash_distribution_count", (("app", app),)] == 1
    assert series["platform_sample_clash_observations_sum", (("app", app),)] == 5
    assert series["platform_sample_clash_increments_total", (("app", app),)] == 5


def test_no_name_of_a_sample_breaks_the_exposition(store: Database, app: str, caplog: pytest.LogCaptureFixture) -> None:
    """Names that end as the formats' own series do, in every type, are all shown and all valid."""
    endings = (
        "",
        "_total",
        "_total_total",
        "_count",
        "_sum",
        "_bucket",
        "_created",
        "_info",
        "_value",
        "_distribution",
    )
    names = [(f"tail{ending}", kind) for ending in endings for kind in ("counter", "gauge", "histogram", "summary")]
    for name, kind in names:
        observe(store, app, name, kind, 3)

    series = [value for (name, labels), value in expose(store).items() if ("app", app) in labels]

    # `tail` and `tail_total` are one name: three of that type add up to 6, and the gauge is set twice.
    assert (series.count(3), series.count(6)) == (4 * 8 + 1, 3)
    assert "left out" not in caplog.text


def test_empty_label_is_no_label(store: Database, app: str) -> None:
    """Rows with an empty label and rows without it are one series."""
    observe(store, app, "x", "counter", 1, labels='{"m": ""}')
    observe(store, app, "x", "counter", 2)
    observe(store, app, "x", "counter", 4, labels='{"m": null}')

    assert expose(store, "m")["platform_sample_x_total", (("app", app),)] == 7


@pytest.mark.parametrize(
    "value", ['quo"te', "back\\slash", "new\nline", "\u2028é😀", "a,b={}", "\x01\x7f", " ", "x" * 500]
)
def test_any_text_can_be_a_label(store: Database, app: str, value: str) -> None:
    """Quotes, backslashes, newlines, control and Unicode characters survive the formats; length is bounded."""
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) VALUES (now(), %s, %s, 200, 1)",
        [app, value],
    )

    assert ("platform_http_request_duration_seconds_count", (("app", app), ("route", value[:200]))) in expose(store)
