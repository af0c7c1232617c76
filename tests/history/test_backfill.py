"""`platform-exporter backfill`: what tables held before Prometheus was there becomes its past."""

import io
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.aggregation.poller import Worker
from exporter.aggregation.series import Total
from exporter.config import loader as configuration
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import ConfigError, PlatformError
from exporter.exposition.families import EVENT_FAMILIES
from exporter.history import blocks, increments, openmetrics
from exporter.history.increments import TimeGrid
from exporter.sources import mapping
from tests.prometheus.names import ROOT
from tests.servers import PrometheusBinaries, fresh_database, poll_until
from tests.sources.demo import DEMO
from tools.stack.servers import Postgres, Prometheus

DURATION = next(one for one in EVENT_FAMILIES if one.name == "platform_http_request_duration_seconds")
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
END = NOW - timedelta(hours=4)
HOURS = 14
WEIGHT = 5


def at(hours: float) -> float:
    """Return the Unix time so many hours after the first event."""
    return (END - timedelta(hours=HOURS - hours)).timestamp()


def count(path: Path) -> None:
    """Count every source of a configuration, as a running exporter does."""
    config = configuration.load(path)
    for source in config.sources:
        worker = Worker(mapping.plan(source), config.database_of(source), config.limits, config.retention_days)
        try:
            worker.poll()
        finally:
            worker._disconnect()
        assert worker.view.problems == ()


def run(path: Path, folder: Path, binaries: PrometheusBinaries, *options: object) -> Result:
    """Run the command in this process."""
    programs = ["--promtool", binaries.promtool.path, "--prometheus", binaries.prometheus.path]
    arguments = ["backfill", "--config", path, "--output", folder, *programs, *options]
    return CliRunner().invoke(main, list(map(str, arguments)))


def spanning(since: datetime, until: datetime) -> list[str]:
    """Return the options for a span."""
    return ["--since", f"{since:%Y-%m-%dT%H:%M:%S}", "--until", f"{until:%Y-%m-%dT%H:%M:%S}"]


@pytest.fixture(scope="module")
def config(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the configuration of a store with 14 hours of requests and samples, all counted.

    A row a minute, every tenth an error, each standing for five requests; the oldest two hours were removed by
    retention after they were counted. The span to fill begins after six hours.
    """
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        path = tmp_path_factory.mktemp("backfill") / "c.yml"
        path.write_text(
            f"database: {{dsn: '{database.dsn}'}}\n"
            "labels: {environment: prod}\nsources: [{preset: native, labels: {team: data}}]\n"
        )
        database.execute(
            "INSERT INTO monitoring.http_request (at, app, route, method, status, duration_seconds, weight) "
            "SELECT to_timestamp(%s) + i * interval '1 minute' - interval '30 s', 'shop', '/a \"b\"', 'GET', "
            "CASE WHEN i %% 10 = 0 THEN 500 ELSE 200 END, CASE WHEN i %% 2 = 0 THEN 0.02 ELSE 0.2 END, 5 "
            "FROM generate_series(1, %s) i",
            [at(0), HOURS * 60],
        )  # fmt: skip
        database.execute(
            "INSERT INTO monitoring.sample (at, app, name, kind, value) "
            "SELECT to_timestamp(%s) + i * interval '1 hour', 'shop', 'depth', 'gauge', i "
            "FROM generate_series(1, 13) i",
            [at(0)],
        )  # fmt: skip
        count(path)
        database.execute("DELETE FROM monitoring.http_request WHERE at < to_timestamp(%s)", [at(2)])
        yield path


@pytest.fixture(scope="module")
def past(
    config: Path, prometheus_binaries: PrometheusBinaries, server_folder: Path
) -> Iterator[Callable[[str, float], dict[str, float]]]:
    """Return a query of a Prometheus that holds nothing but the backfilled day, rules included."""
    data = server_folder / f"backfill-{prometheus_binaries.promtool.version}"
    server = Prometheus(data, flags=["--storage.tsdb.retention.time=1y"], binary=prometheus_binaries.prometheus)
    rules = data / "rules"
    rules.mkdir(parents=True)
    for name in ("http", "thresholds"):  # all of them would take half a minute
        shutil.copy(ROOT / f"prometheus/rules/{name}.yml", rules)
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "tsdb").mkdir()
    tsdb = server.data_dir / "tsdb"
    options = ["--rules", rules, "--instance", "exporter:9847"]
    done = run(config, tsdb, prometheus_binaries, *spanning(END - timedelta(hours=8), END), *options)
    assert done.exit_code == 0, done.stderr
    with server:

        def query(expression: str, hours: float) -> dict[str, float]:
            found = server.query(expression, at(hours))
            return {str(sorted(one["metric"].items())): float(one["value"][1]) for one in found}

        yield query


def only(found: dict[str, float]) -> float:
    """Return the one value there is."""
    [value] = found.values()
    return value


Query = Callable[[str, float], dict[str, float]]


def test_counters_are_what_they_were(past: Query) -> None:
    """At each moment a counter has what had happened by then, also where the first rows are long removed."""
    expression = "sum(platform_http_requests_total)"

    assert only(past(expression, 6.0)) == 6 * 60 * WEIGHT
    assert only(past(expression, 12.5)) == 12.5 * 60 * WEIGHT
    assert only(past(expression, 14.0)) == 14 * 60 * WEIGHT


def test_making_blocks_may_take_its_time(config: Path) -> None:
    """However long nothing is read while blocks are made, PostgreSQL does not end the session."""
    settings = configuration.load(config)
    plan = mapping.plan(settings.sources[0])
    span = TimeGrid(int(at(6)), 60, 60)
    with connect(settings.database, "test") as connection:
        with increments.read(connection, plan, span, settings.limits, lambda text: None):
            allowed = connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        after = connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()

    assert allowed == ("0",)
    assert after == ("1min",)


def test_they_end_where_the_exporter_is(past: Query, config: Path) -> None:
    """The last sample is the value that the exporter shows now, so that the past joins the present without a jump."""
    settings = configuration.load(config)
    with psycopg.connect(settings.database.dsn.reveal()) as connection:
        rows = connection.execute(
            "SELECT labels->>'code', value FROM monitoring.rollup WHERE metric = 'platform_http_requests_total'"
        ).fetchall()
    found = past("sum by (code) (platform_http_requests_total)", 14.0)

    assert found == {str([("code", code)]): value for code, value in rows}


def test_histograms_have_buckets_sum_and_count(past: Query) -> None:
    """Half of the requests took 0.02 s, half 0.2 s; each stands for five."""
    name = "platform_http_request_duration_seconds"

    assert only(past(f'{name}_bucket{{le="0.025"}}', 12.0)) == 12 * 30 * WEIGHT
    assert only(past(f'{name}_bucket{{le="+Inf"}}', 12.0)) == 12 * 60 * WEIGHT
    assert only(past(f"{name}_count", 12.0)) == 12 * 60 * WEIGHT
    assert only(past(f"{name}_sum", 12.0)) == pytest.approx(12 * 60 * WEIGHT * 0.11)
    assert only(past(f"histogram_quantile(0.9, rate({name}_bucket[1h]))", 12.0)) == pytest.approx(0.22, abs=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_the_past_ends_below_the_counter_that_goes_on(seed: int) -> None:
    """Sums of seconds have noise in their last digits, and a step down would be a reset of the counter."""
    chance = random.Random(seed)
    seconds = [chance.uniform(0.001, 9.0) for _ in range(500)]
    labels = {"app": "shop", "route": "/"}
    metric, kind = DURATION.name, "histogram"
    none = [0.0] * len(DURATION.bounds)
    now = Total(metric, kind, labels, 500.0, sum(sorted(seconds)), none)
    found = increments.key(metric, kind, labels)
    grown = [increments.Increment(step, found, 1.0, one, none) for step, one in enumerate(seconds)]
    since = {found: increments.Increment(0, found, 500.0, sum(seconds), none)}
    past = increments.SourcePast((now,), since, iter(grown))
    text = io.StringIO()
    openmetrics.Timeline([past], (), TimeGrid(0, 60, 500), {}).write(0, 500, text)
    sums = [float(line.split()[1]) for line in text.getvalue().splitlines() if line.startswith(f"{metric}_sum")]

    assert sums == sorted(sums)
    assert sums[-1] <= sum(sorted(seconds))
    assert sums[-1] == pytest.approx(sum(seconds))


def test_gauges_have_the_value_of_then(past: Query) -> None:
    """A gauge keeps what it was set to until it was set again, and is unknown before."""
    assert only(past("platform_sample_depth", 11.5)) == 11
    assert only(past("platform_sample_depth", 13.5)) == 13
    assert past("platform_sample_depth", 6.5) == {}


def test_labels_are_those_of_scraping(past: Query) -> None:
    """The series is the one that the live exporter goes on with."""
    [labels] = past('platform_http_requests_total{code="500"}', 10.0)

    assert labels == str(
        [
            ("__name__", "platform_http_requests_total"), ("app", "shop"), ("code", "500"),
            ("environment", "prod"), ("instance", "exporter:9847"), ("job", "platform-exporter"), ("method", "GET"),
            ("route", '/a "b"'), ("team", "data"),
        ]
    )  # fmt: skip


def test_no_gap_between_blocks(past: Query) -> None:
    """There is a sample a minute all the time, over the borders of blocks."""
    samples = only(past('count_over_time(platform_http_requests_total{code="200"}[8h])', 13.99))

    assert samples == pytest.approx(480, abs=1)


def test_rules_are_evaluated_layer_by_layer(past: Query) -> None:
    """A ratio that reads growth that reads sums that read thresholds is there, and right; health follows."""
    growth = only(past("avg_over_time(app:platform_http_requests:increase5m[1h])", 10.0))
    ratio = only(past("avg_over_time(app:platform_http_request_errors:ratio5m[1h])", 10.0))

    assert growth == pytest.approx(5 * WEIGHT, rel=0.02)
    assert ratio == pytest.approx(0.1, abs=0.01)
    assert past('app_indicator:platform_health:state{indicator="http_error_ratio"}', 10.0) != {}


def test_a_rule_may_take_turns_between_two_results(
    config: Path, prometheus_binaries: PrometheusBinaries, tmp_path: Path
) -> None:
    """Where one has a name and the other has none, Prometheus answers with two series; recorded they are one."""
    rules = tmp_path / "rules.yml"
    minimum = "platform_threshold{indicator='minimum_events'}"
    expr = f"{minimum} and on () hour() % 2 == 0 or {minimum} * 1"
    rules.write_text(f"groups: [{{name: g, rules: [{{record: 'a:b', expr: \"{expr}\"}}]}}]")
    tsdb = tmp_path / "tsdb"
    tsdb.mkdir()

    done = run(config, tsdb, prometheus_binaries, *spanning(END - timedelta(hours=5), END), "--rules", rules)

    assert done.exit_code == 0, done.stderr
    [values] = dumped(prometheus_binaries, tsdb, "a:b")
    assert len(values) == 5 * 60 + 1


def test_adopted_tables_have_their_past(
    postgres: Postgres, prometheus_binaries: PrometheusBinaries, server_folder: Path, tmp_path: Path
) -> None:
    """The owner of StratLogic sees the runs of before: in the end as many as the table has."""
    with fresh_database(postgres) as database:
        database.load_sql(DEMO / "stratlogic.sql.gz")
        path = tmp_path / "c.yml"
        path.write_text(f"database: {{dsn: '{database.dsn}'}}\nsources: [{{preset: stratlogic}}]\n")
        [(last,)] = database.execute("SELECT max(created_at) FROM scraping_metrics")
        tsdb = tmp_path / "tsdb"
        tsdb.mkdir()
        span = spanning(last - timedelta(hours=12), last + timedelta(hours=1))
        refused = run(path, tsdb, prometheus_binaries, *span)
        assert CliRunner().invoke(main, ["adopt", "stratlogic", "--config", str(path)]).exit_code == 0
        done = run(path, tsdb, prometheus_binaries, *span, "--step", "240")
        [(runs,)] = database.execute("SELECT count(*) FROM scraping_metrics")

        assert (refused.exit_code, "schema `monitoring` is missing" in refused.stderr) == (1, True)
        assert done.exit_code == 0, done.stderr
        found = dumped(prometheus_binaries, tsdb, "platform_scraping_runs_total")
        assert sum(series[-1] for series in found) == runs
        assert all(series == sorted(series) for series in found)


def dumped(binaries: PrometheusBinaries, tsdb: Path, name: str) -> list[list[float]]:
    """Return the values of each series of a name, in order of time, from the blocks themselves."""
    (tsdb / "wal").mkdir()  # promtool looks for one
    argv = [str(binaries.promtool.path), "tsdb", "dump", f"--match={{__name__='{name}'}}", str(tsdb)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    series: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        labels, value, moment = line.rsplit(" ", 2)
        series.setdefault(labels, []).append((int(moment), float(value)))
    return [[value for _, value in sorted(points)] for points in series.values()]


def test_ends_in_order(config: Path, prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """What `kill` or `make down` ends leaves neither its folder nor its Prometheus."""
    programs = ["--promtool", prometheus_binaries.promtool.path, "--prometheus", prometheus_binaries.prometheus.path]
    command = [sys.executable, "-m", "exporter", "backfill", "--config", config, "--output", tmp_path, *programs]
    rules = ["--since", "7d", "--rules", Path(__file__).parents[2] / "prometheus/rules"]
    with subprocess.Popen(list(map(str, [*command, *rules]))) as running:
        poll_until(lambda: list(tmp_path.glob(".backfill-*/past.om")))
        running.terminate()
        status = running.wait(120)

    assert status == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind(config: Path, prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """Only complete blocks are moved to the folder; a failure changes neither the folder nor the counters."""
    done = run(config, tmp_path, prometheus_binaries, "--since", "10h")
    failed = run(config, tmp_path, prometheus_binaries, "--since", "10h", "--promtool", "/bin/false")

    assert done.exit_code == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("events: ")]
    assert re.fullmatch(r"events: \d+ %, \d+:\d\d:\d\d left", told[0])
    assert told[-1] == "events: 100 %, 0:00:00 left"
    assert (failed.exit_code, "promtool failed with status 1" in failed.stderr) == (1, True)
    assert all((path / "meta.json").exists() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--since", "1h"], 2, "is not before --until 3h"),
        (
            ["--since", "1d", "--until", "2999-01-01"],
            2,
            "--until 2999-01-01 is in the future: expected a time that was",
        ),
        (["--source", "elsewhere"], 2, "no entry named 'elsewhere': expected one of native"),
        (["--promtool", "/nowhere"], 1, "no promtool at /nowhere"),
        (["--step", "300"], 2, "240"),
    ],
    ids=str,
)
def test_mistakes_are_named(
    config: Path, prometheus_binaries: PrometheusBinaries, tmp_path: Path, options: list[str], status: int, said: str
) -> None:
    """The message says what is invalid and what was expected."""
    result = run(config, tmp_path, prometheus_binaries, *options)

    assert result.exit_code == status
    assert said in result.stderr


def test_rules_in_a_circle_are_refused(tmp_path: Path) -> None:
    """Two rules that read each other have no first one."""
    file = tmp_path / "r.yml"
    file.write_text("groups: [{name: g, rules: [{record: 'a:b', expr: 'c:d'}, {record: 'c:d', expr: 'a:b + 1'}]}]")

    with pytest.raises(PlatformError, match="a:b -> c:d -> a:b"):
        blocks.layers(blocks.rules_of(file))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"groups: [", b"- a", b"", b"groups: [{name: g, rules: [1", b"x: 1"])
def test_a_file_of_no_rules_is_named(tmp_path: Path, content: bytes) -> None:
    """Whatever it holds."""
    (tmp_path / "r.yml").write_bytes(content)

    with pytest.raises(ConfigError, match=r"r\.yml holds no rules of Prometheus"):
        list(blocks.rules_of(tmp_path))


def test_rules_on_alerts_are_left_out() -> None:
    """Blocks hold no alerts; such rules may read what they recorded a moment before, each other's too."""
    rules = [
        {"record": "a:alerts", "expr": "ALERTS or b:alerts"},
        {"record": "b:alerts", "expr": "a:alerts"},
        {"record": "c:sum", "expr": "sum(up)"},
    ]

    assert [[rule["record"] for rule in layer] for layer in blocks.layers(rules)] == [["c:sum"]]
    assert blocks.layers(blocks.rules_of(ROOT / "prometheus/rules"))
