"""`check-config` says good exactly where `serve` would start."""

import socket
import subprocess
from pathlib import Path

import pytest

from tools.testing.exporter import command

STORE = "database: {dsn: 'postgresql://nobody@127.0.0.1:1/none'}\n"

BAD = {
    "an unknown preset": "sources: [{preset: gone}]",
    "a mapping that is not a mapping": "sources: [{preset: ./other.yml}]",
    "an unknown preset that is a secret": "sources: [{preset: a S3CRETpw12}]",
    "a label with a meaning": "labels: {app: x}",
    "a label of a source with a meaning": "sources: [{labels: {le: x}}]",
    "a metric's name of our own": "queries: [{name: platform_http_requests_total, sql: SELECT 1, value: a}]",
    "a state folder that is a file": "state_folder: other.yml",
    "a state folder below a file": "state_folder: other.yml/below",
    "a state folder that is a loop": "state_folder: loop",
    "a state folder that is a link to nothing": "state_folder: nothing",
    "a state folder below a loop": "state_folder: loop/below",
    "a state folder with a long name": f"state_folder: {'a' * 300}",
    "a state folder of the kernel": "state_folder: /proc/x",
    "a spool that is a loop": "alerts: {token: tttttt, spool_folder: loop}",
    "a spool that is a file": "alerts: {token: x, spool_folder: other.yml}",
    "an address of another machine": "listen: 192.0.2.1:9847",
    "an address that is not a name": "listen: 'a b.:9847'",
    "a name that is too long": f"listen: {'a' * 70}.example:9847",
    "a folder as a file of certificates": "alertmanager: {urls: ['http://h'], ca_file: /}",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where to write a configuration; beside it is a file that is not a mapping."""
    (tmp_path / "other.yml").write_text("x: 1\n")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("gone/away")
    return tmp_path / "c.yml"


def said(*arguments: object) -> tuple[int, str]:
    """Run a command to its end; return its exit status and what it said."""
    run = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("text", BAD.values(), ids=list(BAD))
def test_what_serve_refuses_is_not_good(config: Path, text: str) -> None:
    """Both refuse it in one line."""
    config.write_text(STORE + text)
    checked, served = said("check-config", config), said("serve", "--config", config)

    assert checked[0] == 2
    assert served[0] != 0
    assert "S3CRETpw12" not in checked[1] + served[1]
    assert (checked[1].count("\n"), "Traceback" in checked[1] + served[1]) == (1, False)


def test_what_is_good_is_served(config: Path) -> None:
    """Also where the folders are not there yet."""
    config.write_text(
        f"{STORE}state_folder: new/state\nalerts: {{token: x, spool_folder: new/spool}}\nlisten: 127.0.0.1:0"
    )
    checked = said("check-config", config)
    assert not (config.parent / "new").exists()
    with subprocess.Popen(command("serve", "--config", config), stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stderr is not None
            lines = iter(served.stderr.readline, "")
            listening = any("listening on" in line for line in lines)
        finally:
            served.kill()

    assert checked[0] == 0, checked[1]
    assert listening


def test_the_web_configuration_may_be_checked_too(config: Path, tmp_path: Path) -> None:
    """As `serve` reads it."""
    config.write_text(STORE)
    (tmp_path / "web.yml").write_text("basic_auth_users: {a: b}")
    status, text = said("check-config", config, "--web.config.file", tmp_path / "web.yml")

    assert status == 2
    assert "basic_auth_users" in text


def test_a_port_that_is_taken_may_be_the_exporters_own(config: Path) -> None:
    """It is checked before a reload, while the exporter runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(f"{STORE}listen: 127.0.0.1:{taken.getsockname()[1]}")
        checked = said("check-config", config)

    assert checked[0] == 0, checked[1]
