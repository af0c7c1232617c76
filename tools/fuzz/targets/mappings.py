"""Fuzz mappings: a file of `sources` is a mapping or refused in one line."""

import contextlib
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from random import Random

from exporter.sources import mapping
from tools.fuzz import command, mutation
from tools.fuzz.target import Check, Target

BASES = tuple(
    resources.files("exporter.sources").joinpath(f"{name}.yml").read_text(encoding="utf-8")
    for name in mapping.presets()
)


class Mappings(Target):
    """Mappings as `check-config` reads them."""

    name = "mappings"
    cases = 10_000
    few = 60

    def make(self, random: Random) -> bytes:
        return mutation.document(random, random.choice(BASES)).encode("utf-8", "surrogatepass")

    @contextlib.contextmanager
    def checking(self) -> Iterator[Check]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = folder / "platform.yml"
            config.write_text("database: {dsn: 'host=h dbname=d user=u'}\nsources: [{preset: ./mapping.yml}]\n")
            for base in BASES:
                _check(base.encode(), config)
            yield lambda data: _check(data, config)


def _check(data: bytes, config: Path) -> None:
    config.with_name("mapping.yml").write_bytes(data)
    result = command.run(["check-config", str(config)])
    assert result.exit_code in (0, 2), f"exit status {result.exit_code}: {result.output}"
    assert result.exit_code == 0 or len(result.output.splitlines()) == 1, f"several lines: {result.output}"
