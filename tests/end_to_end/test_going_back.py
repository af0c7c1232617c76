"""A store that goes back under a scraping Prometheus: nothing shown falls, and nothing is added again."""

import math
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg

from exporter.database import schema
from tests.chart import Served, all_scrapes, by_label, prometheus_of, served, wait_for_scrapes
from tests.servers import PrometheusBinaries, ServerFactory, TcpProxy
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Postgres, Prometheus

RUNS = "platform_scraping_runs_total"
WENT_BACK = "platform_exporter_counters_went_back_total"
COUNTERS = '{__name__=~"platform_.+_(total|count|sum|bucket)", instance="INSTANCE"}'


class Scene:
    """Four servers of which one is up at a time, and what the chart must show by scraper."""

    chart: Prometheus

    def __init__(self, servers: ServerFactory) -> None:
        self.now = servers.start(Postgres, durable=False)
        self.now.create_database("events")
        with self.now.connect("events") as connection:
            schema.apply(connection)
        self.rows: dict[str, Counter[str]] = {self.now.name: Counter()}
        self.shown: Counter[str] = Counter()

    def write(self, **rows: int) -> None:
        """Insert so many runs of each scraper."""
        with self.now.connect("events") as connection:
            for scraper, count in rows.items():
                connection.execute(
                    "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
                    "SELECT now(), 'a', %s, 'success', 1 FROM generate_series(1, %s)",
                    [scraper, count],
                )
        self.rows[self.now.name].update(rows)

    def settle(self) -> None:
        """Wait until the chart shows the highest that ever was, and no more, of every replica."""
        self.shown |= self.rows[self.now.name]
        for instance in all_scrapes(self.chart):
            poll_until(
                lambda instance=instance: by_label(self.chart, RUNS, "scraper", instance=instance) == self.shown,
                interval_seconds=0.3,
                what=f"{dict(self.shown)} in {instance}",
            )

    def move(self, to: Postgres, rows: Counter[str]) -> None:
        """Go on with another server, which holds these rows."""
        self.now, self.rows[to.name] = to, Counter(rows)


def restored(server: Postgres, port: int) -> Postgres:
    """Return a copy of a server as it is now, which recovers to this point when it starts."""
    target = {"recovery_target": "immediate", "recovery_target_action": "promote", "restore_command": "false"}
    copy = server.standby(name="restored", port=port, settings=target)
    copy.prepare()
    data = copy.data_dir / "data"
    (data / "standby.signal").rename(data / "recovery.signal")
    return copy


def promote(server: Postgres) -> None:
    with server.connect() as connection:
        connection.execute("SELECT pg_promote()")


def test_failover_flap_recovery_and_restore(
    servers: ServerFactory, tcp_proxy: Callable[[str, int], TcpProxy], enter: ExitStack, tmp_path: Path
) -> None:
    """Commits are lost four times, with an exporter that runs on and one that is killed each time.

    No counter falls in the chart, so that increase() is what existed at most, and what was lost is not added again.
    """
    scene = Scene(servers)
    primary = scene.now
    cable = tcp_proxy(primary.host, primary.port)
    conninfo = f"host={cable.host} port={cable.port} user=postgres"
    standby = primary.standby(name="standby", settings={"primary_conninfo": conninfo})
    enter.callback(standby.destroy)
    standby.start()
    elsewhere = servers.make(Postgres, durable=False, name="elsewhere")
    back_port = free_port()
    hosts = f"{primary.address},{standby.address},127.0.0.1:{back_port},{elsewhere.address}"
    dsn = f"postgresql://postgres@{hosts}/events?target_session_attrs=read-write"
    exporters = [enter.enter_context(served(tmp_path / name, dsn)) for name in ("runs on", "killed")]
    binary = PrometheusBinaries.of("newest").prometheus  # it reads created timestamps too
    scene.chart = enter.enter_context(prometheus_of(tmp_path, binary, *exporters))
    since = wait_for_scrapes(scene.chart, targets=2)
    scene.write(known=40)
    poll_until(lambda: _has(standby, 40))
    scene.settle()
    backup = restored(primary, back_port)
    enter.callback(backup.destroy)

    cable.blackhole()
    before = Counter(scene.rows[primary.name])
    scene.write(known=20, only_here=7)
    scene.settle()
    _switch(exporters[1], primary)
    cable.cut()
    promote(standby)
    scene.move(standby, before)
    _go_on(scene, exporters[1])

    ahead = scene.rows[primary.name]
    _switch(exporters[1], standby)
    primary.start()
    scene.move(primary, ahead)
    _go_on(scene, exporters[1])

    _switch(exporters[1], primary)
    backup.start()
    scene.move(backup, Counter(known=40))
    poll_until(lambda: not _in_recovery(backup))
    _go_on(scene, exporters[1])

    dump, then = backup.dump("events", tmp_path / "events.dump"), Counter(scene.rows[backup.name])
    scene.write(known=100)
    scene.settle()
    _switch(exporters[1], backup)
    elsewhere.start()
    elsewhere.restore(dump, "events")
    scene.move(elsewhere, then)
    _go_on(scene, exporters[1])

    for instance, at in all_scrapes(scene.chart).items():
        window = math.ceil(at - since)
        samples = scene.chart.query(f"{COUNTERS}[{window}s]".replace("INSTANCE", instance), at)
        values = [(one["metric"], [float(value) for _, value in one["values"]]) for one in samples]
        runs = {metric["scraper"]: found for metric, found in values if metric["__name__"] == RUNS}
        falls = next(found for metric, found in values if metric["__name__"] == WENT_BACK)

        assert [(metric, found) for metric, found in values if found != sorted(found)] == []
        assert {scraper: found[-1] - found[0] for scraper, found in runs.items()} == scene.shown
        assert falls[-1] > falls[0] == 0


def _has(server: Postgres, rows: int) -> bool:
    try:
        with server.connect("events") as connection:
            return connection.execute("SELECT count(*) FROM monitoring.scraping_run").fetchone() == (rows,)
    except psycopg.Error:
        return False


def _in_recovery(server: Postgres) -> bool:
    with server.connect() as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def _switch(exporter: Served, server: Postgres) -> None:
    """End a server at once, and one of the exporters with it."""
    exporter.kill()
    server.kill()


def _go_on(scene: Scene, exporter: Served) -> None:
    """Write fewer rows than were lost, look, then more, and look again."""
    exporter.start()
    scene.write(known=3, only_here=2)
    scene.write(**{f"of_{scene.now.name.replace('-', '_')}": 5})
    scene.settle()
    scene.write(known=70)
    scene.settle()
