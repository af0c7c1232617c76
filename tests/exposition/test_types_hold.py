"""Whatever rows hold, what is exposed of them is what its type allows: no scraper refuses it."""

import math
import random
import subprocess
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.aggregation.poller import Worker
from exporter.aggregation.series import SourceView, Total
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Source
from exporter.exposition import collector
from exporter.exposition.families import FAMILIES
from exporter.exposition.negotiation import Format
from exporter.sections import Secret
from exporter.sources import mapping
from exporter.web.routes import build_app
from platform_sdk.events import EVENTS
from platform_sdk.events.base import Column
from tests.exposition.serving import FakeSite, serving
from tests.servers import Database, PrometheusBinaries, fresh_database, poll_until
from tools.stack.servers import Postgres, Prometheus

NUMBERS = (
    "0", "-0.0", "1", "-1", "1.5", "-1.5", "0.1", "1e-320", "-1e-320", "1e15", "-1e15", "1e16", "1e308", "-1e308",
    "NaN", "Infinity", "-Infinity", "9007199254740993", "3",
)  # fmt: skip
WHOLE = ("0", "1", "-1", "200", "404", "2147483647", "-2147483648")
TEXTS = (
    "a",
    "",
    "success",
    "GET",
    "Total",
    "x_total",
    "x",
    "x_count",
    "x_bucket",
    'a"\\\n{}é\U0001f600',
    "ms",
    "%",
    "high",
)
TIMES = (
    "now",
    "0001-01-01 00:00:00+00 BC",
    "1969-12-31 23:59:59+00",
    "infinity",
    "-infinity",
    "2020-01-01 00:00:00+00",
)
VALUES = {
    "double precision": NUMBERS, "bigint": WHOLE, "integer": WHOLE, "timestamptz": TIMES, "boolean": ("true", "false"),
    "jsonb": ("{}", "null", "[1]", '{"table": "t", "endpoint": -1}'), "inet": ("127.0.0.1",),
}  # fmt: skip
ROWS = 400


def value(chance: random.Random, column: Column) -> str | None:
    """Return the text of any value of a column's type; mostly one that passes, so that rows are counted at all."""
    if not column.required and chance.random() < 0.3:
        return column.default and column.default.strip("'")
    if column.name == "kind":
        return chance.choice(("counter", "gauge", "histogram", "summary", "HISTOGRAM", "odd"))
    if column.name == "at" and chance.random() < 0.7:
        return "now"
    if column.type == "double precision" and chance.random() < 0.5:
        return repr(float(chance.randint(1, 5)) if column.name == "weight" else chance.random())
    return chance.choice(VALUES.get(column.type, TEXTS))


@pytest.fixture(scope="module")
def view(postgres: Postgres, store_templates: Callable[[], str]) -> Iterator[SourceView]:
    """Return what a poll makes of rows with any values, of every kind."""
    chance = random.Random(11)
    with fresh_database(postgres, store_templates()) as database:
        fill(database, chance)
        plan = mapping.plan(Source(sample_labels=("table", "endpoint")))
        worker = Worker(plan, Settings(dsn=Secret(database.dsn)), Limits(series_per_metric=60), Retention())
        worker.poll()
        worker._disconnect()
        assert worker.view.problems == ()
        yield worker.view


def fill(database: Database, chance: random.Random) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        for kind in EVENTS:
            names = ", ".join(column.name for column in kind.all_columns)
            with cursor.copy(f"COPY monitoring.{kind.name} ({names}) FROM STDIN".encode()) as copy:
                for _ in range(ROWS):
                    copy.write_row([value(chance, column) for column in kind.all_columns])


def exposition(view: SourceView, accept: str) -> str:
    form = Format(accept)
    return form.join([form.encode(collector.counted([view], created=form.openmetrics))]).decode()


def test_every_kind_has_series_and_rejections(view: SourceView) -> None:
    """The rows are neither all good nor all bad, or the other tests would show nothing."""
    metrics = {total.metric for total in view.totals}
    rejected = {t.labels["reason"] for t in view.totals if t.metric == "platform_exporter_rows_rejected_total"}

    assert {kind.rollups[0].metric for kind in EVENTS if kind.name != "sample"} <= metrics
    assert any(metric.startswith("platform_sample_") for metric in metrics)
    assert rejected >= {"future", "negative", "not_finite", "out_of_range", "fractional", "malformed"}


def test_every_series_holds_what_its_type_allows(view: SourceView) -> None:
    """Counters, counts, buckets and sums are finite and not negative; counts and buckets are whole and cumulative."""
    for family in parse_openmetrics(exposition(view, "application/openmetrics-text")):
        before: tuple[dict[str, str], float] = ({}, 0.0)
        for sample in family.samples:
            assert math.isfinite(sample.value), sample
            if family.type in ("counter", "histogram", "summary"):
                assert sample.value >= 0, sample
            if sample.name.endswith(("_bucket", "_count")) and family.type in ("histogram", "summary"):
                assert sample.value == int(sample.value), sample
            if sample.name.endswith("_bucket"):
                labels = {name: text for name, text in sample.labels.items() if name != "le"}
                assert sample.value >= (before[1] if labels == before[0] else 0), sample
                before = (labels, sample.value)


@pytest.mark.parametrize("suite", ["stable", "newest"])
def test_promtool_reads_it(view: SourceView, suite: str) -> None:
    """`promtool check metrics` reads the classic format to its end: status 1 is an error, 3 a remark on a name."""
    promtool = PrometheusBinaries.of(suite).promtool.path
    text = exposition(view, "text/plain")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)

    assert checked.returncode in (0, 3), checked.stderr


def test_prometheus_stores_it(
    view: SourceView, prometheus_binaries: PrometheusBinaries, start_prometheus: Callable[..., Prometheus]
) -> None:
    """Prometheus of either release, the newest with created timestamps in use, scrapes every series."""
    site, accepted = FakeSite(), "application/openmetrics-text;version=1.0.0"
    body = exposition(view, accepted)
    site.render = lambda accept, timeout, client: (body.encode(), Format(accepted).content_type)  # type: ignore[method-assign]
    with serving(build_app(site)) as server:
        target = f"static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]"
        prometheus = start_prometheus(
            f"global: {{scrape_interval: 5s}}\nscrape_configs: [{{job_name: openmetrics, {target}}}]\n",
            binary=prometheus_binaries.prometheus,
            flags=("--enable-feature=created-timestamp-zero-ingestion",)
            if prometheus_binaries.generation == "newest"
            else (),
        )
        poll_until(lambda: prometheus.query("scrape_samples_scraped") and prometheus.query("up"))
        (scraped,) = prometheus.query("scrape_samples_scraped")

        assert [target["lastError"] for target in prometheus.targets()] == [""]
        names = [sample.name for family in parse_openmetrics(body) for sample in family.samples]
        assert int(scraped["value"][1]) in {len(names), sum(not name.endswith("_created") for name in names)}
        prometheus.stop()  # before the server, whose loop would end with its connection open


def test_what_an_older_version_counted_is_shown_as_its_type_allows() -> None:
    """Fractional counts are cut, a negative sum is 0, a time of before 1970 is 1970."""
    name = "platform_http_request_duration_seconds"
    buckets = [1.5 + index for index, _ in enumerate(FAMILIES[name].bounds)]
    old = Total(name, "histogram", {"app": "a", "route": "/"}, 20.5, -3.0, buckets, None, -62e9)
    text = exposition(SourceView("native", (old,)), "application/openmetrics-text")
    (family,) = parse_openmetrics(text)

    values = {sample.name.removeprefix(name): sample.value for sample in family.samples}
    assert values == {"_bucket": 20.0, "_count": 20.0, "_sum": 0.0, "_created": 0.0}
    assert [s.value for s in family.samples if s.name.endswith("_bucket")][:3] == [1.0, 2.0, 3.0]
