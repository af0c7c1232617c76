"""docs/machine.md: the unit of systemd, the layout of files, flags and completion, as far as they run without it."""

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk_examples.document import blocks
from tests.servers import Database, poll_until
from tools.testing.exporter import exporting

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/platform-exporter.service"
BLOCKS = {heading: [one.text for one in found] for heading, found in blocks(ROOT / "docs/machine.md").items()}
MOST_EXPOSED = 2.0
DEADLINE_SECONDS = 600

REFUSING = """
import ctypes, runpy, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
libc = ctypes.CDLL(None, use_errno=True)
# A kernel before 6.3 cannot: then the rest is tested.
libc.prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)
runpy.run_module("exporter", run_name="__main__")
"""
"""A Python program that runs the exporter as `MemoryDenyWriteExecute` does: no memory that is written and run."""


def run(script: str, folder: Path, root: Path) -> str:
    """Run a block in a folder, as on a machine whose files begin at `root`."""
    for place in ("/opt/", "/etc/", "/usr/"):
        script = script.replace(f" {place}", f" {root}{place}").replace(f"\n{place}", f"\n{root}{place}")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env={**os.environ, "PATH": path}, timeout=DEADLINE_SECONDS,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def settings() -> configparser.SectionProxy:
    """Return the settings of the service, the last of each name."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_layout(tmp_path: Path) -> None:
    """The commands put everything where the unit looks for it."""
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    run(BLOCKS["On a machine"][0], ROOT, tmp_path)
    program, *_ = settings()["ExecStart"].split()
    version = subprocess.run(
        [f"{tmp_path}{program}", "--version"], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )

    assert version.stdout.startswith("platform-exporter, version ")
    assert (tmp_path / "usr/local/bin/platform-exporter").is_symlink()
    for file in ("etc/systemd/system/platform-exporter.service", "etc/default/platform-exporter"):
        assert (tmp_path / file).stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "etc/platform-exporter/platform-exporter.yml").stat().st_mode & 0o777 == 0o640
    assert settings()["EnvironmentFile"] == "-/etc/default/platform-exporter"


def test_completion(tmp_path: Path) -> None:
    """Each shell gets a file of its own."""
    for folder in ("bash-completion/completions", "zsh/vendor-completions", "fish/vendor_completions.d"):
        (tmp_path / "usr/share" / folder).mkdir(parents=True)
    run(BLOCKS["Shell completion"][0], tmp_path, tmp_path)
    files = [path for path in (tmp_path / "usr").rglob("*") if path.is_file()]

    assert len(files) == 3
    assert all("_PLATFORM_EXPORTER_COMPLETE" in path.read_text() for path in files)


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    """By systemd's own measure, where it is there; it also finds no mistake in the file."""
    hardened = settings()
    assert hardened["CapabilityBoundingSet"] == ""
    assert hardened["ProtectSystem"] == "strict"
    if shutil.which("systemd-analyze"):
        found = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=100", UNIT],
            capture_output=True, text=True, timeout=DEADLINE_SECONDS,
        )  # fmt: skip
        # 252 and newer: before, it asks a running systemd.
        if "Overall exposure level" in found.stdout:
            exposure = float(found.stdout.rpartition("service: ")[2].split()[0])
            assert exposure <= MOST_EXPOSED
            assert f"says {exposure}" in UNIT.read_text()
        mistakes = _verified(tmp_path)
        assert mistakes == ""


def _verified(folder: Path) -> str:
    """Return what systemd says against the unit, with a program that is there."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/platform-exporter/bin/platform-exporter", "/bin/true"))
    found = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=DEADLINE_SECONDS
    )
    return "".join(line for line in found.stderr.splitlines() if unit.name in line)


def test_it_serves_as_the_unit_lets_it(store_database: Database, tmp_path: Path) -> None:
    """Without memory that is written and run, nothing that it imports is missing; its log is JSON."""
    program = tmp_path / "refusing.py"
    program.write_text(REFUSING)
    configuration = json.dumps({"database": {"dsn": store_database.dsn, "poll_interval_seconds": 0.2}})
    arguments = ("--log-format", "json", "--log.level", "debug")
    with exporting(tmp_path, configuration, *arguments, program=[str(program)]) as served:
        poll_until(lambda: "platform_exporter_source_up" in served.get("/metrics").text, 60)
        served.reload()
        lines = [json.loads(line) for line in served.log.splitlines()]

    assert all(set(line) - {"exception"} == {"time", "level", "logger", "message"} for line in lines)
    assert any(line["message"].startswith("listening on") for line in lines)


@pytest.mark.parametrize("flag", ["--listen", "--web.listen-address"])
def test_flags_are_spelled_as_those_of_other_exporters(flag: str) -> None:
    """Who knows one exporter's flags knows ours; an address that is none is said by the name of either."""
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "serve", "--config.file", "platform-exporter.example.yml", flag, "x"],
        cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS,
    )  # fmt: skip

    assert done.returncode == 2
    assert "invalid address 'x' for `--listen`" in done.stderr
