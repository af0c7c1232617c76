"""Find the programs of the stack on this machine, or obtain them."""

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.stack import apt, golang, wheels
from tools.stack.errors import StackError
from tools.stack.pins import FLOORS
from tools.stack.places import Places
from tools.stack.programs import PROGRAMS, Program


@dataclass(frozen=True)
class Binary:
    """A program that was run once to tell its version.

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
    places: Places | None = None,
) -> Binary:
    """Return a program: from its environment variable, the checkout's cache, the machine, or newly obtained.

    With a suite (a release name of the machine's own distribution, such as `sid`) it is that suite's, never the
    machine's. fetch_go says that a Go toolchain may be installed into the cache to compile with. Obtaining may take
    from a second (a wheel) to six minutes (MinIO is compiled) and is done once.

    Raises StackError: what is missing and what to do about it.
    """
    program, places = PROGRAMS[name], places or Places()
    variable = program.variable + (f"_{suite.upper()}" if suite else "")
    if override := places.environ.get(variable):
        # Whoever names a path means it: no other is looked for.
        return _examined(name, program, Path(override).absolute(), f"${variable}")
    reasons: list[str] = []
    for path, origin in _candidates(
        program, suite, places, _sources(program, suite, places, fetch_go) if obtain else (), reasons
    ):
        try:
            return _examined(name, program, path, origin)
        except StackError as error:
            reasons.append(str(error))
    advice = f"set {variable} to its path" + (f", or {program.advice}" if program.advice else "")
    raise StackError("; ".join([f"{name}{f' of {suite}' if suite else ''} not found", *reasons, advice]))


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 42, 0) for 2.42.0+ds."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _candidates(
    program: Program,
    suite: str | None,
    places: Places,
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
    program: Program, suite: str | None, places: Places, fetch_go: bool
) -> Iterator[Callable[[], tuple[Path, str]]]:
    if program.wheel and not suite:
        yield partial(wheels.locate, program.wheel)
    for package in program.packages:
        yield partial(apt.program, package, program.names[0], suite, places.tools)
    if program.module and not suite:
        yield partial(golang.built, program.module, places, fetch_go=fetch_go)


def _cached(program: Program, suite: str | None, places: Places) -> Iterator[tuple[Path, str]]:
    folders = [] if suite else [places.tools / "bin"]
    folders += [apt.root_of(package, suite, places.tools) / "usr/bin" for package in program.packages]
    if program.module and not suite:
        folders.append(golang.target_of(program.module, places.tools).parent)
    yield from _named(program, folders, str(places.tools))


def _of_machine(program: Program, places: Places) -> Iterator[tuple[Path, str]]:
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
        return Binary(path, wheels.version("moto"), origin)
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
        raise StackError(f"{path} is {found}, wanted at least {'.'.join(map(str, floor))}")
    return Binary(path, found, origin)


def _version_of(path: Path, program: Program) -> str:
    try:
        run = subprocess.run(
            [path, *program.version_arguments], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{path} cannot be run: {error}") from error
    output = run.stdout + run.stderr
    # "prometheus, version 2.42.0+ds", "Redis server v=6.2.5", "minio version RELEASE", "postgres (PostgreSQL) 18.4"
    match = re.search(r"(?:version |v=|\) )(\S+)", output)
    if run.returncode != 0 or match is None:
        # Among others a missing shared library, which the loader names here.
        raise StackError(f"{path} does not tell its version: {output.strip()[-300:] or run.returncode}")
    return match.group(1)
