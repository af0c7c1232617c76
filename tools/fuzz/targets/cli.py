"""Fuzz the command line: whatever is typed, a command ends with a status of its own and without a traceback."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import click

from exporter.__main__ import main
from tools.fuzz.command import run
from tools.fuzz.target import Check, Target

LASTING = ("serve", "receive-notifications")
"""Commands that do not end by themselves."""

VALUES = (
    "", " ", "x", "0", "-1", "1", "9" * 40, "1e999", "nan", "5m", "90m", "1d12h", "0s", "9999999w",
    "2026-01-31", "2026-13-45", "a=b", "=", "a=", "=b", "a!=b", 'a=~"("', "a=~.*", "*", "%s", "%", "\\", "'",
    '"', ";", "\n", "\t", "\x1b[31m", "é", "😀", "\udcff", "a\udc80b", "x" * 5000, "native", "stratlogic",
    "gone", "gone.yml", "./", "..", "error", "http_request", "csv", "json", "parquet", "critical", "open",
    "latest", "3f2a", "0000", "NULL", "--", "-", "--help", "--json", "--yes", "-h",
)  # fmt: skip


def commands(group: click.Group, context: click.Context, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the way to each command that ends by itself."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, context, (*path, name))
        elif name not in LASTING:
            yield (*path, name)


class Cli(Target):
    """The command line, with an event store that does not answer."""

    name = "cli"
    cases = 10_000
    few = 60
    limit_seconds = 5.0
    """`alerts backtest` reads all rules of the bundle."""

    def __init__(self) -> None:
        context = click.Context(main)
        self._commands = list(commands(main, context))
        self._options = {path: _options(path) for path in self._commands}

    def make(self, random: Random) -> bytes:
        path = random.choice(self._commands)
        given = [*path, *(["--config", "c.yml"] if random.random() < 0.9 else [])]
        for _ in range(random.randint(0, 4)):
            kind = random.random()
            given += [random.choice(self._options[path])] if kind < 0.5 else []
            given += [random.choice(VALUES)] if kind > 0.2 else []
        if random.random() < 0.1:
            random.shuffle(given)
        return json.dumps(given).encode()

    @contextlib.contextmanager
    def checking(self) -> Iterator[Check]:
        before = Path.cwd()
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "c.yml").write_text(
                "database: {dsn: 'postgresql://nobody@127.0.0.1:1/none'}\nlisten: 127.0.0.1:1\n"
                "sources: [{preset: native}, {preset: stratlogic}]\nalertmanager: {urls: ['http://127.0.0.1:1']}\n"
            )
            os.chdir(name)
            try:
                for path in self._commands:  # loads what is loaded once
                    _check(json.dumps([*path, "--config", "c.yml"]).encode())
                yield _check
            finally:
                os.chdir(before)


def _options(path: tuple[str, ...]) -> list[str]:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    names = [name for one in command.params if isinstance(one, click.Option) for name in one.opts]
    return [name for name in names if name not in ("--promtool", "--prometheus")] or ["--help"]


def _check(data: bytes) -> None:
    result = run(json.loads(data))
    assert result.exit_code in (0, 1, 2), f"exit status {result.exit_code}: {result.output}"
    assert "Traceback" not in result.output, result.output
