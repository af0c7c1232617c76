"""Run a PostgreSQL server, as root too, and standbys of it."""

import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import psycopg
from psycopg import sql

from tools.stack.checkout import say
from tools.stack.errors import StackError
from tools.stack.process import Command, clean_environment
from tools.stack.programs.search import Binary, find
from tools.stack.servers.accounts import outside_folder, reachable_by, unprivileged
from tools.stack.servers.base import Server

SUPERUSER = "postgres"

# A test's database need not survive a power cut, and is faster for it. synchronous_commit stays on: without it a kill
# of the processes alone loses what was committed in the last 0.6 s, and a test of faults finds losses of our making.
# Killed, it leaves no shared memory behind: mmap has that in the data folder, which goes away with the server.
# A standby or subscriber looks for its source again at once, not after 5 s.
# Its time zone is not the machine's, which initdb would take: now() without a zone is in the future east of UTC.
FAST_SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "jit": "off", "dynamic_shared_memory_type": "mmap",
    "wal_retrieve_retry_interval": "100ms", "timezone": "UTC",
}  # fmt: skip

# The kernel's limit for the path of a socket is 107 bytes; PostgreSQL's name in the folder takes up to 21 of them.
LONGEST_SOCKET_FOLDER = 86


class Postgres(Server):
    """A PostgreSQL on loopback, with the superuser `postgres`, UTF-8 and the locale C.UTF-8.

    durable=False gives up safety against power cuts for speed. auth="scram-sha-256" asks for a generated password,
    kept in NAME.password; with "trust" every local user is let in. settings are those of postgresql.conf.

    Where we are root it runs as another account (accounts.py); if that account cannot reach the state folder, data_dir
    is outside it, and NAME.location in it says where.
    """

    kind = "postgres"
    stop_signal = signal.SIGINT  # "fast": open sessions are ended; SIGTERM would wait for them

    def __init__(
        self,
        state_dir: Path,
        *,
        name: str | None = None,
        port: int | None = None,
        durable: bool = True,
        auth: Literal["trust", "scram-sha-256"] = "trust",
        max_connections: int = 100,
        settings: Mapping[str, str] | None = None,
        binary: Binary | None = None,
        primary: "Postgres | None" = None,
    ) -> None:
        account = unprivileged()
        super().__init__(state_dir, reachable_by(account, binary or find("postgres")), name=name, port=port)
        self.account = account
        self.durable = durable
        self.auth = auth
        self.max_connections = max_connections
        self.settings = dict(settings or {})
        self._primary = primary
        self._data_dir: Path | None = None
        self.password: str | None = None
        if auth != "trust":
            self.password = primary.password if primary else self.secret("password")

    @property
    def url(self) -> str:
        return self.dsn

    @property
    def dsn(self) -> str:
        """Return the address of the database `postgres`, for the superuser, with the password if there is one."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """Return the address of a database, for the superuser."""
        password = f":{self.password}" if self.password else ""
        return f"postgresql://{SUPERUSER}{password}@{self.address}/{database}"

    @property
    def data_dir(self) -> Path:
        """Return the folder that holds PostgreSQL's own; made at the first look."""
        if self._data_dir is None:
            location = self.state_dir / f"{self.name}.location"
            known = Path(location.read_text()) if location.exists() else self.state_dir / self.name
            self._data_dir = known if known.exists() else self._new_data_dir(location)
        return self._data_dir

    def _new_data_dir(self, location: Path) -> Path:
        if self.account is None or self.account.can_enter(self.state_dir):
            folder = self.state_dir / self.name
            folder.mkdir()
        else:
            folder = outside_folder(self.name, lasting=self.durable)
            location.write_text(str(folder))
            if self.durable:
                say(f"PostgreSQL's data are in {folder}: its account {self.account.name} cannot enter {self.state_dir}")
        if self.account:
            self.account.own(folder)
        return folder

    @property
    def socket_dir(self) -> Path | None:
        """Return the folder of its Unix socket, open to its own account and root only; None if the path is too long."""
        folder = self.data_dir
        return folder if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER else None

    def prepare(self) -> None:
        """Make the cluster at the first start: a new one, or a copy of the primary."""
        if not (self.data_dir / "data" / "PG_VERSION").exists():
            if self._primary:
                self._copy_primary(self._primary)
            else:
                self._initialise()

    def command(self) -> Command:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir or ""),
            "max_connections": str(self.max_connections),
            **({} if self.durable else FAST_SETTINGS),
            **self.settings,
        }
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._command(["postgres", "-D", str(self.data_dir / "data"), *arguments])

    def ready(self) -> bool:
        try:
            with self.connect(connect_timeout=2) as connection:
                return connection.execute("select true").fetchone() == (True,)
        except psycopg.Error:
            return False

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a new connection of the superuser in autocommit mode, the caller's to close."""
        return psycopg.connect(self.dsn_of(database), autocommit=True, **options)

    def create_database(self, name: str) -> str:
        """Create an empty database and return its dsn."""
        with self.connect() as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.dsn_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending the sessions that are in it; nothing happens where there is none."""
        with self.connect() as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def load_sql(self, path: Path, database: str) -> None:
        """Run a script of SQL, gzipped if its name ends in .gz; raises StackError at the first statement that fails."""
        argv = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null"]
        with path.open("rb") as file:
            script = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
            self._run_client(argv, database, script)

    def dump(self, database: str, path: Path | None = None) -> Path:
        """Write a database to a file in pg_dump's own format, by default NAME.DATABASE.dump in the state folder."""
        path = path or self.state_dir / f"{self.name}.{database}.dump"
        self._run_client(["pg_dump", "--format", "custom", "--file", str(path)], database)
        return path

    def restore(self, path: Path, database: str) -> str:
        """Create a database from a file of dump(), of this or another server, and return its dsn."""
        dsn = self.create_database(database)
        # Owners of the dumped database may not exist here.
        argv = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--dbname", database, str(path)]
        self._run_client(argv, database)
        return dsn

    def standby(self, state_dir: Path | None = None, *, name: str = "postgres-standby", **options: Any) -> "Postgres":
        """Return a hot standby streaming from this server, which must run when it first starts; not yet started."""
        like_primary = {
            "durable": self.durable,
            "auth": self.auth,
            "max_connections": self.max_connections,  # a standby with fewer than its primary refuses to start
            "settings": self.settings,
            "binary": self.binary,
        }
        return Postgres(state_dir or self.state_dir, name=name, primary=self, **{**like_primary, **options})

    def destroy(self) -> None:
        """End it and remove all that it left, outside the state folder too."""
        super().destroy()
        self._data_dir = None

    def client_environment(self, database: str) -> dict[str, str]:
        """Return the environment in which PostgreSQL's programs connect to a database, with the password."""
        address = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": SUPERUSER, "PGDATABASE": database}
        return clean_environment("PG", **address, **({"PGPASSWORD": self.password} if self.password else {}))

    def _initialise(self) -> None:
        password_file = self.data_dir / "password"
        arguments = ["--pgdata", str(self.data_dir / "data"), "--username", SUPERUSER, "--auth", self.auth]
        arguments += ["--encoding", "UTF8", "--locale", "C.UTF-8"] + ([] if self.durable else ["--no-sync"])
        try:
            if self.password:
                password_file.touch(0o600)
                if self.account:
                    os.chown(password_file, self.account.user, self.account.group)
                password_file.write_text(self.password)
                arguments += ["--pwfile", str(password_file)]
            self._run(["initdb", *arguments], clean_environment("PG"))
        finally:
            password_file.unlink(missing_ok=True)

    def _copy_primary(self, primary: "Postgres") -> None:
        # --write-recovery-conf keeps the connection, with the password, in the copy's postgresql.auto.conf (mode 600).
        target = ["--pgdata", str(self.data_dir / "data"), "--write-recovery-conf", "--checkpoint", "fast", "--no-sync"]
        self._run(["pg_basebackup", *target], primary.client_environment("postgres"))

    def _run(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        command = self._command(argv, environment)
        run = subprocess.run(
            command.argv,
            env=command.environment,
            cwd=command.folder,
            user=command.user,
            group=command.group,
            extra_groups=None if command.user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            raise StackError(f"{self.name}: {argv[0]} failed: {(run.stderr or run.stdout).strip()[-600:]}")

    def _run_client(self, argv: list[str], database: str, script: BinaryIO | None = None) -> None:
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                [str(self.binary.path / argv[0]), *argv[1:]],
                env=self.client_environment(database),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            ) as program,
        ):
            # A program that gives up early closes its end; its own words, read below, say more than our broken pipe.
            with contextlib.suppress(BrokenPipeError):
                if script is not None and program.stdin is not None:
                    shutil.copyfileobj(script, program.stdin)
            program.communicate()
            if program.returncode != 0:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip()[-600:]
                raise StackError(f"{self.name}: {argv[0]} on database {database} failed: {said}")

    def _command(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Command:
        return Command(
            [str(self.binary.path / argv[0]), *argv[1:]],
            environment or clean_environment("PG"),
            folder=self.data_dir,  # the current folder may be one that the account cannot enter
            user=self.account.user if self.account else None,
            group=self.account.group if self.account else None,
        )
