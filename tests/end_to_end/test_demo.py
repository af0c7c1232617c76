"""The demo databases, and the folder of a stack."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Database
from tools.stack import databases, down
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError
from tools.stack.servers import Postgres
from tools.stack.state import StackState, fingerprint


def test_times_are_moved_up_to_now(database: Database) -> None:
    """The newest event is two minutes old, intervals stay, columns with and without a zone agree, NULL stays NULL."""
    database.execute(
        "create table a (id int, created_at timestamp, ended_at timestamp, heartbeat_at timestamp);"
        "create table b (id int, timestamp timestamptz);"
        "insert into a values (1, '2026-03-28 12:00', null, '2026-03-28 12:30'),"
        " (2, '2026-03-20 12:00', '2026-03-20 13:00', null);"
        "insert into b values (1, '2026-03-28 11:59+00')"
    )

    with database.connect(options="-c timezone=Europe/Berlin") as connection:
        databases.move_to_now(connection)

    rows = database.execute(
        "select created_at - lag(created_at) over (order by id desc) = '8 days', ended_at - created_at = '1 hour', "
        "ended_at is null, round(extract(epoch from (now() at time zone 'UTC') - created_at) / 60), "
        "heartbeat_at <= now() at time zone 'UTC' from a order by id"
    )
    assert rows == [(True, None, True, 2, True), (None, True, False, 2 + 8 * 24 * 60, None)]
    assert database.execute("select round(extract(epoch from now() - timestamp) / 60) from b") == [(3,)]


def test_a_demo_database_is_loaded_once(postgres: Postgres) -> None:
    """The second load does nothing; an interrupted one leaves nothing that looks like a database."""
    postgres.create_database("scitex_loading")
    try:
        assert databases.load(postgres, "scitex") is True
        assert databases.load(postgres, "scitex") is False
        with postgres.connect() as connection:
            names = connection.execute("select datname from pg_database where datname like 'scitex%'").fetchall()

        assert names == [("scitex",)]
    finally:
        postgres.drop_database("scitex")


def test_clean_leaves_a_folder_that_is_no_stack(tmp_path: Path) -> None:
    """A mistyped --state does not cost a folder."""
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(StackError, match=r"not a state folder of a stack .*remove it yourself"):
        down.clean(tmp_path)

    assert (tmp_path / "thesis.txt").exists()


def test_down_and_clean_do_nothing_where_there_is_no_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both succeed and say so."""
    assert (down.run(tmp_path / "none"), down.clean(tmp_path / "none")) == (0, 0)
    assert "`make up` starts one" in capsys.readouterr().out


def test_down_wants_the_standard_library_only(tmp_path: Path) -> None:
    """`down` and `clean` work where the virtual environment is gone."""
    for command in ("down", "clean"):
        argv = [sys.executable, "-I", "-S", "-c", _ISOLATED, command, "--state", str(tmp_path / "none")]
        run = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


_ISOLATED = "import sys, runpy; sys.path.insert(0, '.'); runpy.run_module('tools.stack', run_name='__main__')"


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    """A stack.json that is none says what to do."""
    (tmp_path / "stack.json").write_text("{")

    with pytest.raises(StackError, match=r"stack\.json cannot be read: `make clean`"):
        StackState.open(tmp_path)


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    """A secret stays the same and only its owner reads it."""
    state = StackState.open(tmp_path)
    secret = state.secret("writer")

    assert (state.secret("writer"), len(secret)) == (secret, 24)
    assert (tmp_path / "secrets/writer.password").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_a_fingerprint_tells_other_settings() -> None:
    """The same settings give the same mark, others another."""
    assert fingerprint(1, "a") == fingerprint(1, "a") != fingerprint(1, "b")
