"""A dump restored into another cluster, where old transaction ids mean nothing: no event is lost or doubled."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.aggregation.counting import Store, add_runs, runs
from tests.servers import ServerFactory
from tools.stack.servers import Postgres


@pytest.fixture(scope="session")
def other_cluster(session_servers: ServerFactory) -> Postgres:
    """Return another PostgreSQL, whose transaction ids are far behind those of the first."""
    return session_servers.start(Postgres, durable=False)


@pytest.fixture
def moved(
    store: Store, postgres: Postgres, other_cluster: Postgres, tmp_path: Path
) -> Iterator[Callable[[Store], Store]]:
    """Return a function that dumps a store and restores it into the cluster it is not in."""
    made: list[tuple[Postgres, str]] = []

    def move(origin: Store) -> Store:
        here = psycopg.conninfo.conninfo_to_dict(origin.dsn)
        servers = {str(server.port): server for server in (postgres, other_cluster)}
        source = servers.pop(str(here["port"]))
        (target,) = servers.values()
        name = f"{here['dbname']}_{len(made)}"
        file = source.dump(str(here["dbname"]), tmp_path / f"{name}.dump")
        made.append((target, name))
        return Store(target.restore(file, name), origin.plan)

    yield move
    for server, name in made:
        server.drop_database(name)


Move = Callable[[Store], Store]


def next_transaction(store: Store) -> int:
    return int(store.one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"))


def spend_transactions(store: Store, until: int) -> None:
    """Use up transaction ids so that the next one is this."""
    spare = until - next_transaction(store)
    assert spare >= 0
    store.execute(f"DO $$ BEGIN FOR i IN 1..{spare} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")


def test_counters_go_on_where_they_were(store: Store, moved: Move) -> None:
    """What was counted in the old cluster is not counted again in the new one."""
    add_runs(store, 5)
    store.poll()
    new = moved(store)
    new.poll()

    assert runs(new) == 5


def test_uncounted_rows_in_the_dump(store: Store, moved: Move) -> None:
    """They are counted in the new cluster, once."""
    add_runs(store, 5)
    store.poll()
    add_runs(store, 3)
    new = moved(store)
    new.poll()
    new.poll()

    assert runs(new) == 8


def test_a_dump_that_was_never_counted(store: Store, moved: Move) -> None:
    """Without a cursor everything counts, wherever it was written."""
    add_runs(store, 5)
    new = moved(store)
    add_runs(new, 2)
    new.poll()

    assert runs(new) == 7


@pytest.mark.parametrize("ids", ["lower", "equal", "higher"])
def test_rows_written_there_before_the_first_poll(store: Store, moved: Move, other_cluster: Postgres, ids: str) -> None:
    """New rows whose ids are lower than, equal to or higher than those of old rows all count, once."""
    with other_cluster.connect() as connection:
        (ahead,) = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int").fetchone() or (0,)
    # More than a restore takes.
    spend_transactions(store, max(next_transaction(store), ahead + 5000))
    add_runs(store, 5)
    store.poll()
    old = next_transaction(store)
    add_runs(store, 3)
    new = moved(store)
    if ids != "lower":
        spend_transactions(new, old + (10 if ids == "higher" else 0))
    written = next_transaction(new)
    add_runs(new, 2)
    new.poll()
    add_runs(new, 1)
    new.poll()

    assert {"lower": written < old, "equal": written == old, "higher": written > old}[ids]
    assert runs(new) == 11


def test_a_transaction_open_at_the_first_poll_there(store: Store, moved: Move) -> None:
    """Its rows are of the new cluster and count when it commits."""
    add_runs(store, 5)
    store.poll()
    new = moved(store)
    with new.connect() as writer:
        writer.execute("BEGIN")
        writer.execute(
            "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
            "VALUES (now(), 'a', 's', 'success', 1)"
        )
        new.poll()
        writer.execute("COMMIT")
    new.poll()

    assert runs(new) == 6


def test_restored_twice(store: Store, moved: Move) -> None:
    """Two copies of one dump each count for themselves."""
    add_runs(store, 5)
    store.poll()
    add_runs(store, 3)
    copies = [moved(store), moved(store)]
    for copy in copies:
        add_runs(copy, 2)
        copy.poll()
        copy.poll()

    assert [runs(copy) for copy in copies] == [10, 10]


def test_back_to_the_first_cluster(store: Store, moved: Move) -> None:
    """Moved to another cluster and back again: rows of the first one were counted, those written since were not."""
    add_runs(store, 5)
    store.poll()
    add_runs(store, 3)
    away = moved(store)
    away.poll()
    add_runs(away, 2)
    back = moved(away)
    add_runs(back, 1)
    back.poll()
    add_runs(back, 1)
    back.poll()

    assert runs(back) == 12


def test_a_partition_is_kept_until_the_new_cluster_counted(store: Store, moved: Move) -> None:
    """Retention waits where the cursor is still that of another cluster."""
    store.execute("SELECT monitoring.ensure_partition('scraping_run', '2020-01-01')")
    store.poll()
    new = moved(store)
    drop = "SELECT monitoring.drop_partition('scraping_run', '2020-01-01')"
    before = new.one(drop)
    new.poll()

    assert (before, new.one(drop)) == (False, True)


def test_an_empty_database_is_no_other_cluster(store: Store) -> None:
    """Polls of nothing leave nothing behind but cursors of this cluster."""
    store.poll()
    store.poll()

    assert store.one("SELECT bool_and(system_identifier = monitoring.cluster_id()) FROM monitoring.cursor")
