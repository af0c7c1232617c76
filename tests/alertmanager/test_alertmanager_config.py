"""The configuration as it is written: examined by amtool of both generations and by amlint."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager import generate
from tests.alertmanager.shipped import FOLDER, SHIPPED, laid_out
from tests.servers import PrometheusBinaries
from tools.stack.programs.search import Binary

EXAMPLE = FOLDER / "alertmanager.example.yml"
# What Alertmanager 0.25 does not know, in the example of everything.
TOO_NEW = {"teams", "discord", "deadman"}


def amtool(binary: Binary, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run amtool beside the configuration."""
    argv = [str(binary.path), *map(str, arguments)]
    return subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, timeout=60)


def for_oldest(tmp_path: Path) -> Path:
    """Return the example's configuration without the channels that Alertmanager 0.25 does not know."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "channels.example.yml").read_text())
    content["alertmanager"] = "0.25"
    content["channels"] = {name: one for name, one in content["channels"].items() if name not in TOO_NEW}
    content["tell"] = {name: [one for one in told if one not in TOO_NEW] for name, told in content["tell"].items()}
    (tmp_path / "channels.yml").write_text(yaml.safe_dump(content))
    return laid_out(generate.configuration(tmp_path / "channels.yml"), tmp_path / "am")


@pytest.mark.parametrize("which", ["shipped", "example"])
def test_config_is_clean(prometheus_binaries: PrometheusBinaries, tmp_path: Path, which: str) -> None:
    """The shipped file and that with every channel pass, with their templates, without a warning."""
    example = EXAMPLE if prometheus_binaries.generation == "newest" else for_oldest(tmp_path)
    done = amtool(prometheus_binaries.amtool, "check-config", SHIPPED if which == "shipped" else example)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
    assert "warn" not in (done.stdout + done.stderr).lower()


def test_amlint_finds_nothing() -> None:
    """Not even of severity INFO; asked with the rules, so that routes and inhibition name alerts that exist."""
    argv = [Path(sys.executable).parent / "amlint", "check", "--strict", "--format", "json"]
    argv += ["--rules", str(FOLDER.parent / "prometheus/rules/*.yml"), str(SHIPPED), str(EXAMPLE)]
    argv += [str(generate.COMPOSE)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"code"' not in done.stdout, done.stdout


def test_committed_files_are_what_the_generator_writes() -> None:
    """Whoever changes routes.yml or channels.yml runs the generator."""
    for path, text in generate.committed().items():
        assert path.read_text() == text, f"run: python -m alertmanager.generate ({path})"


def test_containers_differ_by_the_history_alone(prometheus_binaries: PrometheusBinaries) -> None:
    """In docker-compose.yml the exporter gets every alert; people are told as by the other file."""
    plain, compose = (yaml.safe_load(path.read_text()) for path in (SHIPPED, generate.COMPOSE))
    done = amtool(prometheus_binaries.amtool, "check-config", generate.COMPOSE)
    [history] = [one for one in compose["receivers"] if one["name"] == "history"]
    [block] = history["webhook_configs"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert [one for one in compose["receivers"] if one["name"] != "history"] == plain["receivers"]
    assert compose["inhibit_rules"] == plain["inhibit_rules"]
    assert block["url"] == "http://exporter:9847/api/v1/alerts/notifications"
    assert block["http_config"]["authorization"]["credentials_file"] == "/run/secrets/alerts_token"


def test_every_receiver_is_routed_to_and_tells_of_resolution() -> None:
    """No receiver is left over, and every block says when it is over."""
    config = yaml.safe_load(EXAMPLE.read_text())
    route = config["route"]
    routed = {one["receiver"] for one in [route, *route["routes"]]}
    blocks = [block for one in config["receivers"] for key, blocks in one.items() if key != "name" for block in blocks]

    assert {one["name"] for one in config["receivers"]} == routed
    assert len(blocks) > 10
    assert all(block["send_resolved"] for block in blocks)


def test_secrets_stand_in_files_only() -> None:
    """Whatever is secret is a key *_file with an absolute path: Alertmanager resolves relative ones as it starts."""
    text = EXAMPLE.read_text()
    secret = ("auth_password", "auth_secret", "routing_key", "api_url", "webhook_url", "credentials", "bearer_token")

    assert not [
        line
        for line in text.splitlines()
        if line.strip().removeprefix("- ").startswith(tuple(f"{key}:" for key in secret))
    ]
    assert text.count("_file: /etc/alertmanager/secrets/") == text.count("_file: ")


def test_oldest_alertmanager_is_not_given_what_it_does_not_know(tmp_path: Path) -> None:
    """A channel that is too new for the Alertmanager is refused with the version that it needs."""
    text = (FOLDER / "channels.example.yml").read_text().replace('alertmanager: "0.28"', 'alertmanager: "0.25"')
    (tmp_path / "channels.yml").write_text(text)

    with pytest.raises(generate.ChannelsError, match=r"`channels.teams` has kind `teams`.*from 0.28 on.*is 0.25"):
        generate.configuration(tmp_path / "channels.yml")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("critical: [local]", "critical: []", "`tell.critical` is []; wanted a list of at least one"),
        ("critical: [local]", "critical: [chat]", "`tell.critical` names 'chat'; `channels` has local"),
        ("  high: [local]\n", "", "`tell` lacks the key `high`"),
        ("  high:", "  hihg: []\n  high:", "`tell` has the unknown key `hihg`"),
        ("kind: webhook", "kind: fax", "`channels.local.kind` is 'fax'; wanted one of email"),
        ("kind: webhook,", "kind: slack,", "`channels.local` has the unknown key `url`"),
        ("kind: webhook, url:", "kind: webhook, uri:", "`channels.local` has the unknown key `uri`"),
        (', url: "http://127.0.0.1:9848/"', "", "`channels.local` wants one of `url` and `url_file`"),
        ("time_zone: UTC}", "time_zone: Mars}", "`working_hours.time_zone` is 'Mars'"),
        ('to: "18:00"', "to: 18:00", "`working_hours.to` is 1080; wanted a time in quotes"),
        ('to: "18:00"', 'to: "08:00"', "`working_hours` ends at 08:00, which is not after 09:00"),
        ('{from: "09:00", time', '{from: "23:30", time', "`digest.from` is '23:30'; wanted 23:00 or before"),
        ("monday:friday", "mon-fri", "`working_hours.days` is 'mon-fri'"),
        ('"0.25"', '"0.24"', "`alertmanager` is '0.24'"),
        ("secrets: /etc", "secrets: etc", "`secrets` is 'etc/alertmanager/secrets'; wanted an absolute path"),
    ],
)
def test_mistakes_are_told_with_key_value_and_what_was_wanted(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    """A file of channels that cannot be used is refused before Alertmanager sees it."""
    text = (FOLDER / "channels.yml").read_text()
    assert before in text
    (tmp_path / "channels.yml").write_text(text.replace(before, after, 1))

    with pytest.raises(generate.ChannelsError) as error:
        generate.configuration(tmp_path / "channels.yml")
    assert message in str(error.value)


def test_command_prints_one_file_and_says_what_is_stale(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file of one's own is printed; a wrong one and wrong usage are told by status and on stderr."""
    assert generate.main([str(FOLDER / "channels.yml")]) == 0
    assert capsys.readouterr().out == generate.configuration(FOLDER / "channels.yml")

    (tmp_path / "channels.yml").write_text("tell: {}\n")
    assert generate.main([str(tmp_path / "channels.yml")]) == 1
    assert "`the file` lacks the key `alertmanager`" in capsys.readouterr().err

    assert generate.main(["--help-me"]) == 2
    assert generate.main(["--check"]) == 0
