"""A PostgreSQL of the stack: its life, its standby, its files."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.servers import WHEELS_ONLY, Database, ServerFactory, poll_until
from tools.stack.errors import StackError
from tools.stack.programs.search import Binary, find
from tools.stack.servers import Postgres

StartPostgres = Callable[..., Postgres]


def _answers(server: Postgres) -> bool:
    try:
        with server.connect(connect_timeout=2) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_it_keeps_its_data_over_a_restart(start_postgres: StartPostgres) -> None:
    """The port stays, too, so that clients come back by themselves."""
    server = start_postgres()
    dsn = server.create_database("kept")
    server.restart()

    with psycopg.connect(dsn) as connection:
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)


def test_it_recovers_from_a_kill(start_postgres: StartPostgres) -> None:
    """What was committed survives the death of every process at once."""
    server = start_postgres()
    with server.connect() as connection:
        connection.execute("create table kept as select 1 as i")
        server.kill()
        assert not server.alive
    server.start()

    with server.connect() as connection:
        assert connection.execute("select i from kept").fetchone() == (1,)


def test_a_frozen_one_hangs_and_goes_on(start_postgres: StartPostgres) -> None:
    """Existing sessions hang as well: their backends are frozen with it."""
    server = start_postgres()
    with server.connect() as connection:
        server.freeze()
        assert server.alive
        assert not _answers(server)

        server.thaw()
        assert connection.execute("select 1").fetchone() == (1,)


def test_it_listens_on_loopback_only(postgres: Postgres) -> None:
    """A demo must not open a door to the network."""
    with postgres.connect() as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)


def test_its_time_zone_is_not_the_machines(start_postgres: StartPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test runs alike everywhere: in a column without a zone now() is the local time of the server."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")

    with start_postgres().connect() as connection:
        assert connection.execute("select now()::timestamp = now() at time zone 'UTC'").fetchone() == (True,)


def test_it_runs_as_somebody_else_where_we_are_root(postgres: Postgres) -> None:
    """PostgreSQL refuses to run as root."""
    assert postgres.process.pid is not None
    owner = os.stat(f"/proc/{postgres.process.pid}").st_uid

    assert owner == (postgres.account.user if os.geteuid() == 0 and postgres.account else os.geteuid())
    assert owner != 0


def test_data_go_where_its_account_can_reach(tmp_path: Path) -> None:
    """pytest's folder is closed to others, as /root is; destroy() then removes what lies outside of it, too."""
    state = tmp_path / "closed"
    state.mkdir(0o700)
    server = Postgres(state, durable=False)
    try:
        server.start()
        folder = server.data_dir

        assert (folder / "data" / "PG_VERSION").exists()
        assert folder.is_relative_to(state) == (server.account is None)
    finally:
        server.destroy()
    assert not folder.exists()
    assert list(state.iterdir()) == []


def test_a_second_object_takes_over_a_running_one(start_postgres: StartPostgres) -> None:
    """A later program ends what an earlier one started."""
    first = start_postgres(auth="scram-sha-256")
    second = Postgres(first.state_dir, port=first.port, auth="scram-sha-256")

    assert second.attach()
    assert second.dsn == first.dsn
    assert second.data_dir == first.data_dir
    second.stop()
    assert not first.alive


def test_a_password_is_asked_for(start_postgres: StartPostgres) -> None:
    """It is generated, and no other user can read its file."""
    server = start_postgres(auth="scram-sha-256")

    assert server.password
    assert (server.state_dir / "postgres.password").stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.dsn.replace(server.password, "wrong"))


def test_a_standby_follows(start_postgres: StartPostgres, servers: ServerFactory) -> None:
    """Rows arrive there, writes are refused; the password is taken along."""
    primary = start_postgres(auth="scram-sha-256")
    standby = servers.adopt(primary.standby()).start()
    with primary.connect() as connection:
        connection.execute("create table sent as select 7 as i")

    with standby.connect() as connection:
        poll_until(lambda: connection.execute("select to_regclass('sent') is not null").fetchone() == (True,))
        assert connection.execute("select pg_is_in_recovery(), i from sent").fetchone() == (True, 7)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("insert into sent values (8)")


def test_a_dump_is_restored(database: Database, postgres: Postgres, tmp_path: Path) -> None:
    """In pg_dump's own format, with a password-free server and a path of the caller's."""
    database.execute("create table kept as select generate_series(1, 1000) as i")
    path = postgres.dump(database.name, tmp_path / "one.dump")
    try:
        with psycopg.connect(postgres.restore(path, f"{database.name}_again")) as connection:
            assert connection.execute("select sum(i) from kept").fetchone() == (500_500,)
    finally:
        postgres.drop_database(f"{database.name}_again")


@pytest.mark.parametrize("name", ["script.sql", "script.sql.gz"])
def test_a_script_is_loaded(database: Database, tmp_path: Path, name: str) -> None:
    """Gzipped or not, with psql's COPY blocks."""
    script = b"create table t (i int);\ncopy t from stdin;\n1\n2\n\\.\n"
    (tmp_path / name).write_bytes(gzip.compress(script) if name.endswith(".gz") else script)
    database.load_sql(tmp_path / name)

    assert database.execute("select sum(i) from t") == [(3,)]


def test_a_script_stops_at_its_first_error(database: Database, tmp_path: Path) -> None:
    """psql's words are passed on, though it closed its input long before the end of the script."""
    (tmp_path / "bad.sql").write_bytes(b"select nonsense;\n" + b"select 1;\n" * 200_000)

    with pytest.raises(StackError, match=r'psql on database .* column "nonsense" does not exist'):
        database.load_sql(tmp_path / "bad.sql")


def test_a_fresh_database_is_empty_and_utc_independent(database: Database) -> None:
    """Each test has its own."""
    assert database.execute("select count(*) from pg_tables where schemaname = 'public'") == [(0,)]


def test_the_wheels_newest_runs(newest_postgres: Postgres) -> None:
    """PostgreSQL 18, where the machine's own may be years older."""
    with newest_postgres.connect() as connection:
        [version] = connection.execute("select current_setting('server_version_num')::int").fetchone() or (0,)

    assert version >= 180000


def test_settings_that_it_refuses_are_shown(start_postgres: StartPostgres) -> None:
    """The error has the end of its log."""
    with pytest.raises(
        StackError, match=r'(?s)postgres ended with status 1.*unrecognized configuration parameter "nons'
    ):
        start_postgres(settings={"nonsense": "1"})


def test_programs_out_of_reach_of_its_account_are_copied(
    servers: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment below /root is closed to it; the wheel's programs and libraries move together, once."""
    monkeypatch.setenv("PLATFORM_TOOLS_DIR", str(tmp_path / "tools"))
    wheel = find("postgres", places=WHEELS_ONLY)
    closed = tmp_path / "root"
    closed.mkdir(0o700)
    package = wheel.path.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        (closed / folder.name).symlink_to(folder)
    hidden = Binary(closed / package.name / wheel.path.parent.name / "bin", wheel.version, wheel.origin)
    server = servers.start(Postgres, durable=False, binary=hidden)
    again = servers.make(Postgres, durable=False, binary=hidden)
    try:
        assert _answers(server)
        assert again.binary == server.binary
        assert server.binary == hidden or server.account is not None
    finally:
        server.destroy()
        if server.binary != hidden:
            shutil.rmtree(server.binary.path.parents[2])
