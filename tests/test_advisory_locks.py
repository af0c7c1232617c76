"""Advisory locks: every number is declared in one place, and no two tasks share one."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from exporter.database.connection import AdvisoryLock
from tests.servers import Database

ROOT = Path(__file__).parents[1]
DECLARATION = ROOT / "exporter/database/connection.py"
PARTS = ("exporter", "sdk", "grafana", "prometheus", "alertmanager", "deploy", "tools")


def sources() -> Iterator[Path]:
    """Yield the files of Python, SQL and shell of the product and its tools."""
    for part in PARTS:
        for path in (ROOT / part).rglob("*"):
            if path.suffix in (".py", ".sql", ".sh"):
                yield path


def test_the_enumeration_alone_takes_them() -> None:
    """A lock taken anywhere else could have a number that the enumeration does not know."""
    users = {path for path in sources() if re.search(r"pg_(try_)?advisory", path.read_text(encoding="utf-8"))}

    assert users == {DECLARATION}


def test_numbers_differ() -> None:
    """Two names of one number would be one lock."""
    assert len({lock.value for lock in AdvisoryLock}) == len(AdvisoryLock.__members__)


def test_a_demo_does_not_block_the_history_of_alerts(store_database: Database) -> None:
    """A demo's past is one transaction of minutes; notifications are stored all the same."""
    with psycopg.connect(store_database.dsn) as demo, psycopg.connect(store_database.dsn) as history:
        AdvisoryLock.DEMO_PAST.wait(demo)
        history.execute("SET lock_timeout = '5s'")
        AdvisoryLock.ALERT_HISTORY.wait(history)


@pytest.mark.parametrize("lock", list(AdvisoryLock))
def test_two_take_turns(store_database: Database, lock: AdvisoryLock) -> None:
    """The second waits until the first one's transaction ends."""
    with psycopg.connect(store_database.dsn) as first, psycopg.connect(store_database.dsn) as second:
        lock.wait(first)
        second.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            lock.wait(second)
        second.rollback()
        first.rollback()
        lock.wait(second)
