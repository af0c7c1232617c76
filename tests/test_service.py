"""Build the service without a server, and ask it what scrapes and pages ask."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.aggregation.series import Total
from exporter.config import loader
from exporter.errors import ConfigError, MappingError
from exporter.service import SCRAPE_MARGIN_SECONDS, SHORTEST_PROBE_SECONDS, Service
from tests.servers import Database, poll_until

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/none"
TEXT = f"database: {{dsn: '{UNREACHABLE}'}}\nprobes: {{postgresql: [{{name: gone, dsn: '{UNREACHABLE}'}}]}}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a configuration file whose database does not exist."""
    path = tmp_path / "c.yml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def service(path: Path) -> Iterator[Service]:
    """Return a service that was built and not started: it has connected to nothing."""
    service = Service(path, loader.load(path))
    yield service
    service._runner.close()


def test_probes_end_before_prometheus_gives_up(service: Service) -> None:
    """The probes' time is the configured one, or what Prometheus waits less a margin, never nothing."""
    settings = service._config
    longest = settings.probe_timeout_seconds

    assert service._probe_timeout(settings, None) == longest
    assert service._probe_timeout(settings, 10.0) == longest
    assert service._probe_timeout(settings, 1.0) == pytest.approx(1.0 - SCRAPE_MARGIN_SECONDS)
    assert service._probe_timeout(settings, 0.1) == SHORTEST_PROBE_SECONDS


def test_not_ready_until_read_once(service: Service) -> None:
    """A source that was never read is named, with the reason."""
    assert service.not_ready() == ["source native: not polled yet"]


def test_scrape_works_before_anything_was_read(service: Service) -> None:
    """The first scrape may come at once: it says that nothing is known."""
    body, content_type = service.render("", None)

    assert b'platform_exporter_source_up{source="native"} 0.0' in body
    assert b'platform_exporter_source_lag_seconds{source="native"} +Inf' in body
    assert b'platform_component_up{component="postgresql",name="gone"} 0.0' in body
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_counters_are_encoded_once_for_each_format(service: Service) -> None:
    """Whatever versions clients make up, only two encodings are kept."""
    for accept in (
        "",
        "text/plain;version=1.0.0",
        "application/openmetrics-text",
        "application/openmetrics-text;version=7",
    ):
        service.render(accept, None)

    assert set(service._cached[1]) == {False, True}


def test_health_is_the_worst_of_all(service: Service) -> None:
    """A component that is down makes the whole unhealthy; a source never read is unknown."""
    report = service.health()

    assert report["status"] == "unhealthy"
    assert [(c["name"], c["status"], c["reason"]) for c in report["components"]] == [("gone", "unhealthy", "refused")]  # type: ignore[attr-defined]
    assert [(s["source"], s["status"], s["lag_seconds"]) for s in report["sources"]] == [("native", "unknown", None)]  # type: ignore[attr-defined]


def test_reload_changes_labels(service: Service, path: Path) -> None:
    """Labels of the configuration stand at counters and components, and follow a reload; a bad one refuses it."""
    worker = service._workers["native"]
    worker.view = replace(worker.view, totals=(Total("platform_api_calls_total", "counter", {"app": "a"}, 1.0),))
    before = service.render("", None)[0]
    path.write_text(TEXT + "labels: {environment: prod}")
    service.reload()
    after = service.render("", None)[0]

    assert b"environment" not in before
    assert b'platform_api_calls_total{app="a",environment="prod"} 1.0' in after
    assert b'platform_component_up{component="postgresql",environment="prod",name="gone"}' in after
    path.write_text(TEXT + "labels: {app: prod}")
    with pytest.raises(ConfigError, match="invalid label 'app' in `labels`"):
        service.reload()


def test_refused_reload_changes_nothing(service: Service, path: Path) -> None:
    """A bad file raises, is remembered for the metric, and leaves workers and probes as they are."""
    workers = service._workers
    path.write_text(TEXT + "nonsense: 1")

    with pytest.raises(ConfigError, match="unknown key `nonsense`"):
        service.reload()
    assert service._workers is workers
    assert b"platform_exporter_config_last_reload_successful 0.0" in service.render("", None)[0]


def test_bad_mapping_refuses_a_reload(service: Service, path: Path) -> None:
    """A mapping file that cannot be read is an error of the configuration."""
    path.write_text(TEXT + "sources: [{preset: gone.yml}]")

    with pytest.raises(ConfigError, match="`sources`, gone: mapping"):
        service.reload()


def test_unchanged_reload_keeps_the_workers(service: Service) -> None:
    """What did not change goes on undisturbed."""
    before = dict(service._workers)
    service.reload()

    assert service._workers["native"] is before["native"]


def test_queries_from_start_to_reload(database: Database, tmp_path: Path) -> None:
    """A scrape shows what queries gave, health says what is wrong with one, and a reload adds and removes them."""
    path = tmp_path / "queries.yml"
    begin = f"database: {{dsn: '{database.dsn}'}}\nqueries:\n  - {{name: answer, value: v, sql: SELECT 42 AS v}}\n"
    path.write_text(begin + "  - {name: wrong, value: v, sql: SELECT 1/0 AS v}\n")
    service = Service(path, loader.load(path))
    service.start()
    try:
        poll_until(lambda: b"answer 42.0" in service.render("", None)[0])
        found = poll_until(lambda: (health := service.health()["queries"])[1]["cause"] != "not run yet" and health)  # type: ignore[index]
        path.write_text(begin + "  - {name: late, value: v, sql: SELECT 43 AS v}\n")
        service.reload()
        at_once = service.render("", None)[0]
        poll_until(lambda: b"late 43.0" in service.render("", None)[0])
    finally:
        service.stop()

    assert [(one["query"], one["status"], one["cause"]) for one in found] == [
        ("answer", "healthy", ""), ("wrong", "degraded", "division by zero")
    ]  # fmt: skip
    assert b"answer 42.0" in at_once
    assert b"wrong" not in at_once


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), MappingError("gone"), KeyError("x")])
def test_a_reload_that_fails_in_any_way_is_a_failed_reload(
    service: Service, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the error is none of a configuration; the next good one is a good one again."""
    with monkeypatch.context() as broken:
        broken.setattr("exporter.service.build", lambda probes: (_ for _ in ()).throw(error))
        with pytest.raises(type(error)):
            service.reload()
    failed = service.render("", None)[0]
    service.reload()

    assert b"platform_exporter_config_last_reload_successful 0.0" in failed
    assert b"platform_exporter_config_last_reload_successful 1.0" in service.render("", None)[0]
