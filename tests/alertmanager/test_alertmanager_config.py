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
    content["notify"] = {
        name: [one for one in names if one not in TOO_NEW] for name, names in content["notify"].items()
    }
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
    """After a change of routes.yml or channels.yml the generator was run."""
    for path, text in generate.committed().items():
        assert path.read_text() == text, f"run: python -m alertmanager.generate ({path})"


def test_containers_differ_by_the_history_alone(prometheus_binaries: PrometheusBinaries) -> None:
    """In docker-compose.yml the exporter gets every alert; people are notified as by the other file."""
    plain, compose = (yaml.safe_load(path.read_text()) for path in (SHIPPED, generate.COMPOSE))
    done = amtool(prometheus_binaries.amtool, "check-config", generate.COMPOSE)
    [history] = [one for one in compose["receivers"] if one["name"] == "history"]
    [block] = history["webhook_configs"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert [one for one in compose["receivers"] if one["name"] != "history"] == plain["receivers"]
    assert compose["inhibit_rules"] == plain["inhibit_rules"]
    assert block["url"] == "http://exporter:9847/api/v1/alerts/notifications"
    assert block["http_config"]["authorization"]["credentials_file"] == "/run/secrets/alerts_token"


def test_every_receiver_has_a_route_and_sends_resolutions() -> None:
    """No receiver is unused, and every block sends resolutions."""
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
        (
            "critical: [local]",
            "critical: []",
            "invalid value [] for `notify.critical`: expected a list of at least one",
        ),
        ("critical: [local]", "critical: [chat]", "unknown channel 'chat' in `notify.critical`: expected one of local"),
        ("  high: [local]\n", "", "missing key `high` in `notify`"),
        ("  high:", "  hihg: []\n  high:", "unknown key `hihg` in `notify`"),
        ("kind: webhook", "kind: fax", "invalid `channels.local.kind` 'fax': expected one of email"),
        ("kind: webhook,", "kind: slack,", "unknown key `url` in `channels.local`"),
        ("kind: webhook, url:", "kind: webhook, uri:", "unknown key `uri` in `channels.local`"),
        (
            ', url: "http://127.0.0.1:9848/"',
            "",
            "`channels.local` has none or both of `url` and `url_file`: expected one",
        ),
        ("time_zone: UTC}", "time_zone: Mars}", "invalid `working_hours.time_zone` 'Mars'"),
        ('to: "18:00"', "to: 18:00", "invalid time 1080 for `working_hours.to`: expected a time in quotes"),
        ('to: "18:00"', 'to: "08:00"', "invalid `working_hours.to` 08:00: expected a time after 09:00"),
        ('{from: "09:00", time', '{from: "23:30", time', "invalid `digest.from` '23:30': expected at most 23:00"),
        ("monday:friday", "mon-fri", "invalid `working_hours.days` 'mon-fri'"),
        ('"0.25"', '"0.24"', "invalid version '0.24' for `alertmanager`"),
        (
            "secrets: /etc",
            "secrets: etc",
            "invalid path 'etc/alertmanager/secrets' for `secrets`: expected an absolute path",
        ),
    ],
)
def test_errors_name_key_value_and_what_is_expected(tmp_path: Path, before: str, after: str, message: str) -> None:
    """An invalid file of channels is refused before Alertmanager sees it."""
    text = (FOLDER / "channels.yml").read_text()
    assert before in text
    (tmp_path / "channels.yml").write_text(text.replace(before, after, 1))

    with pytest.raises(generate.ChannelsError) as error:
        generate.configuration(tmp_path / "channels.yml")
    assert message in str(error.value)


def test_command_prints_one_file_and_reports_outdated_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file of one's own is printed; an invalid one and wrong usage are reported by status and on stderr."""
    assert generate.main([str(FOLDER / "channels.yml")]) == 0
    assert capsys.readouterr().out == generate.configuration(FOLDER / "channels.yml")

    (tmp_path / "channels.yml").write_text("notify: {}\n")
    assert generate.main([str(tmp_path / "channels.yml")]) == 1
    assert "missing key `alertmanager` in `the file`" in capsys.readouterr().err

    assert generate.main(["--help-me"]) == 2
    assert generate.main(["--check"]) == 0
