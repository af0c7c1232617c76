"""The chart is exact: increase() in a real Prometheus equals the rows, from a series' first event on."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chart import by_label, differences, prometheus_of, served, wait_for_scrapes, write
from tests.servers import Database, PrometheusBinaries


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Four label sets before the first kill; with `--long` one a second for ten minutes, with a kill a minute."""
    if "label_sets" in metafunc.fixturenames:
        metafunc.parametrize("label_sets", [600 if metafunc.config.getoption("long") else 4])


def test_increase_equals_the_rows(
    store_database: Database,
    prometheus_binaries: PrometheusBinaries,
    enter: ExitStack,
    label_sets: int,
    tmp_path: Path,
) -> None:
    """Of each new label set, while the exporter is killed and reloaded and Prometheus restarts, with two replicas."""
    exporters = [enter.enter_context(served(tmp_path / name, store_database.dsn)) for name in ("one", "two")]
    prometheus = prometheus_of(tmp_path, prometheus_binaries.prometheus, *exporters)
    enter.callback(prometheus.destroy)
    prometheus.start()
    since = wait_for_scrapes(prometheus, targets=2)
    with store_database.connect() as connection:
        for number in range(label_sets):
            write(connection, number)
            wait_for_scrapes(prometheus)
            if number % 60 == 59:
                exporters[0].kill()
                exporters[0].start()
        exporters[0].kill()
        write(connection, label_sets)
        exporters[0].start()
        write(connection, label_sets + 1)
        exporters[1].reload()
        write(connection, label_sets + 2)
        wait_for_scrapes(prometheus, 3)
        write(connection, label_sets + 3)
        prometheus.restart()
        write(connection, label_sets + 4)
        wait_for_scrapes(prometheus, 3)
        write(connection, 1)  # known by now
        found = differences(connection, prometheus, since)

    assert found == []


def test_an_adopted_past_is_no_burst(
    store_database: Database, prometheus_binaries: PrometheusBinaries, enter: ExitStack, tmp_path: Path
) -> None:
    """What was there before the exporter's first start is shown with its value, and is not today's increase."""
    store_database.execute(
        "SELECT monitoring.ensure_partition('scraping_run', current_date - 3);"
        "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
        "SELECT now() - interval '3 days', 'old', 's', 'success', 1 FROM generate_series(1, 100000)"
    )
    exporter = enter.enter_context(served(tmp_path / "one", store_database.dsn))
    prometheus = prometheus_of(tmp_path, prometheus_binaries.prometheus, exporter)
    enter.callback(prometheus.destroy)
    prometheus.start()
    wait_for_scrapes(prometheus, 3)

    assert by_label(prometheus, "platform_scraping_runs_total", "app") == {"old": 100_000}
    assert by_label(prometheus, "increase(platform_scraping_runs_total[1h])", "app") == {}
