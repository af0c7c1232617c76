"""Move databases between a PostgreSQL server and files, with PostgreSQL's own programs."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from tools.stack.errors import StackError

if TYPE_CHECKING:
    from tools.stack.servers.postgres import Postgres


def load_sql(server: Postgres, path: Path, database: str) -> None:
    """Run a script of SQL, gzipped or not; raises StackError at the first statement that fails."""
    argv = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null"]
    with path.open("rb") as file:
        script = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
        _run(server, argv, database, script)


def dump(server: Postgres, database: str, path: Path) -> Path:
    """Write a database to a file in pg_dump's own format and return its path."""
    _run(server, ["pg_dump", "--format", "custom", "--file", str(path)], database)
    return path


def restore(server: Postgres, path: Path, database: str) -> str:
    """Create a database from such a file and return its dsn."""
    dsn = server.create_database(database)
    # Owners of the dumped database may not exist here.
    argv = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--dbname", database, str(path)]
    _run(server, argv, database)
    return dsn


def _run(server: Postgres, argv: list[str], database: str, script: BinaryIO | None = None) -> None:
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [str(server.binary.path / argv[0]), *argv[1:]],
            env=server.client_environment(database),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        ) as program,
    ):
        # A program that gives up early closes its end; its own words, read below, tell more than our broken pipe.
        with contextlib.suppress(BrokenPipeError):
            if script is not None and program.stdin is not None:
                shutil.copyfileobj(script, program.stdin)
        program.communicate()
        if program.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-600:]
            raise StackError(f"{server.name}: {argv[0]} on database {database} failed: {said}")
