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


def test_containers_differ_by_the_history_and_by_names(prometheus_binaries: PrometheusBinaries) -> None:
    """In docker-compose.yml the exporter gets every alert; people are notified as by the other file, by a service."""
    compose = yaml.safe_load(generate.COMPOSE.read_text())
    plain = yaml.safe_load(SHIPPED.read_text().replace(generate.RECEIVER, generate.COMPOSE_RECEIVER))
    done = amtool(prometheus_binaries.amtool, "check-config", generate.COMPOSE)
    [history] = [one for one in compose["receivers"] if one["name"] == "history"]
    [block] = history["webhook_configs"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert [one for one in compose["receivers"] if one["name"] != "history"] == plain["receivers"]
    assert compose["inhibit_rules"] == plain["inhibit_rules"]
    assert block["url"] == "http://exporter:9847/api/v1/alerts/notifications"
    assert block["http_config"]["authorization"]["credentials_file"] == "/run/secrets/alerts_token"


def test_every_receiver_has_a_route_and_sends_resolutions() -> None:
    """No receiver is unused; every block sends resolutions, except the watchdog's and that of the digest."""
    config = yaml.safe_load(EXAMPLE.read_text())
    route = config["route"]
    routes = [route, *route["routes"], *(own for one in route["routes"] for own in one.get("routes", []))]
    routed = {one["receiver"] for one in routes}
    found = {one["name"]: [one[key] for key in one if key != "name"] for one in config["receivers"]}
    ends = {name: {block["send_resolved"] for blocks in lists for block in blocks} for name, lists in found.items()}

    assert {one["name"] for one in config["receivers"]} == routed
    assert ends.pop("watchdog") == ends.pop("low") == {False}
    assert ends.pop("nobody") == set()
    assert set.union(*ends.values()) == {True}


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
        ('to: "18:00"', 'to: "08:00"', "invalid `working_hours.to` 08:00: expected a time after 09:00"),
        ('{from: "09:00", time', '{from: "23:30", time', "invalid `digest.from` '23:30': expected at most 23:00"),
        ("monday:friday", "mon-fri", "invalid `working_hours.days` 'mon-fri'"),
        ('"0.25"', '"0.24"', "invalid version '0.24' for `alertmanager`"),
        ("http://127.0.0.1", "127.0.0.1", "invalid `channels.local.url`: expected an address with http:// or https://"),
        ('"http://127.0.0.1:9848/"', "", "invalid `channels.local.url`: expected an address with http:// or https://"),
        (
            'webhook, url: "http://127.0.0.1:9848/"',
            "email, to: ops@example.com, from: am@example.com, smarthost: mail",
            "invalid `channels.local.smarthost` 'mail': expected HOST:PORT, e.g. smtp.example.com:587",
        ),
        (
            'webhook, url: "http://127.0.0.1:9848/"',
            "email, to: ops, from: am@example.com, smarthost: 'mail:25'",
            "invalid `channels.local.to` 'ops': expected mail addresses",
        ),
        (
            'url: "http://127.0.0.1:9848/"',
            'url_file: ""',
            "invalid `channels.local.url_file` '': expected a value",
        ),
        ("notify:", "notify: {", "expected"),
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
    assert str(error.value).startswith(f"{tmp_path}/channels.yml: "), "which of several files"


def test_all_errors_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each, with the file: whoever writes it mends all of them in one go."""
    text = (FOLDER / "channels.yml").read_text()
    for before, after in (
        ('"0.25"', '"0.24"'), ("  high: [local]\n", "  low2: []\n"), ("critical: [local]", "critical: [chat]"),
        ('to: "18:00"', 'to: "08:00"'),
        ("time_zone: UTC}", "time_zone: UTC}\ntrial: [PlatformTill, PlatformErorsHigh]"),
    ):  # fmt: skip
        assert before in text
        text = text.replace(before, after, 1)
    (tmp_path / "own.yml").write_text(text)

    assert generate.main([str(tmp_path / "own.yml")]) == 1
    lines = [line.removeprefix(f"python -m alertmanager.generate: {tmp_path}/own.yml: ")[:38]
             for line in capsys.readouterr().err.splitlines()]  # fmt: skip
    assert lines == [
        "invalid version '0.24' for `alertmanag", "unknown key `low2` in `notify`: expect",
        "missing key `high` in `notify`",
        "unknown channel 'chat' in `notify.crit", "invalid `working_hours.to` 08:00: expe",
        "invalid value 'PlatformTill' in `trial", "invalid value 'PlatformErorsHigh' in `",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PlatformTill", "; see prometheus/runbook.md"), ("PlatformApiCalsHigh", "; meant: PlatformApiCallsHigh"),
        ("all", "; meant: trial: all"),
    ],
)  # fmt: skip
def test_only_names_that_are_alike_are_suggested(tmp_path: Path, name: str, said: str) -> None:
    """That both begin with Platform makes no two names alike."""
    (tmp_path / "own.yml").write_text((FOLDER / "channels.yml").read_text() + f"trial: [{name}]\n")

    with pytest.raises(generate.ChannelsError) as error:
        generate.configuration(tmp_path / "own.yml")
    assert str(error.value).endswith(f"expected an alert that notifies{said}")


def test_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names it and says why, without a number of an error."""
    assert generate.main([str(tmp_path / "none.yml")]) == 1
    assert capsys.readouterr().err == (
        f"python -m alertmanager.generate: {tmp_path}/none.yml: cannot be read: No such file or directory\n"
    )


ALL_KINDS = """
alertmanager: "0.33"
notify: {critical: [a, b, c, d, e, f, g, h, i, j, k], high: [a], medium: [a], low: [a], unsorted: [a], history: [],
  watchdog: []}
channels:
  a: {kind: opsgenie, api_key_file: opsgenie}
  b: {kind: telegram, bot_token_file: telegram, chat_id: -100}
  c: {kind: mattermost, url_file: mattermost, channel: ops}
  d: {kind: webex, room_id: ops, token_file: webex}
  e: {kind: sns, topic_arn: "arn:aws:sns:us-east-2:123456789012:ops", region: us-east-2}
  f: {kind: pushover, user_key_file: user, token_file: pushover}
  g: {kind: victorops, api_key_file: victorops, routing_key: ops}
  h: {kind: wechat, corp_id: "1", agent_id: "1", api_secret_file: wechat, to_user: "@all"}
  i: {kind: jira, url: "https://x.atlassian.net", project: OPS, issue_type: Bug, username: am, password_file: jira}
  j: {kind: incidentio, url: "https://api.incident.io/v2/alert_events/alertmanager/x", token_file: incidentio}
  k: {kind: rocketchat, url: "https://chat.example.com", token_file: rocket, token_id_file: rocket_id, channel: "#ops"}
teams:
  payments: {apps: [shop, till.eu], notify: {critical: [b], medium: [d]}}
  crawl: {apps: [news+x], notify: {critical: [c, d], low: [e]}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a file of channels of an owner's own, with teams and every kind of channel that nothing else tries."""
    content = yaml.safe_load((FOLDER / "channels.yml").read_text()) | yaml.safe_load(ALL_KINDS)
    (tmp_path / "own.yml").write_text(yaml.safe_dump(content))
    return tmp_path / "own.yml"


def test_own_files_are_written_elsewhere(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that Alertmanager needs is in a folder of the owner's, and the newest one takes it."""
    assert generate.main([str(own), "--output", str(tmp_path / "am")]) == 0
    done = amtool(PrometheusBinaries.of("newest").amtool, "check-config", tmp_path / "am/alertmanager.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 templates" in done.stdout
    assert (tmp_path / "am/hours.yml").read_text().startswith("# Made by")
    assert (tmp_path / "am/alertmanager.compose.yml").exists()
    assert capsys.readouterr().out == f"wrote {tmp_path / 'am'}; reload Alertmanager, and Prometheus for hours.yml\n"


def test_an_unusable_secret_is_named_with_its_channel(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written while a secret is missing, blank or of two lines: one would notice only when it is sent."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    names = "opsgenie telegram mattermost webex user pushover victorops wechat jira incidentio rocket rocket_id"
    for name in names.split():
        (secrets / name).write_text({"webex": "", "user": " ", "rocket": "x\n"}.get(name, "x"))
    (secrets / "telegram").unlink()

    assert generate.main([str(own), "--secrets", str(secrets), "--output", str(tmp_path / "am")]) == 1
    needs = f"python -m alertmanager.generate: {own}: `channels.{{}}` needs the secret {secrets}/{{}}: {{}}"
    empty, two = "expected a file that is not empty", "it has a line break, which some versions send"
    lines = [needs.format("b", "telegram", empty), needs.format("d", "webex", empty)]
    lines += [needs.format("f", "user", empty), needs.format("k", "rocket", two)]
    found = capsys.readouterr().err.splitlines()
    assert [line.partition(": expected none")[0] for line in found] == lines
    assert not (tmp_path / "am").exists()

    for name in names.split():
        (secrets / name).write_text("x")
    assert generate.main([str(own), "--secrets", str(secrets)]) == 0
    assert capsys.readouterr().out == f"{own}: all 12 secrets of channels in use are in {secrets}\n"


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=critical app=shop", "critical-payments"),
        ("severity=critical app=till.eu component=redis", "critical-payments"),
        ("severity=critical app=tillxeu", "critical"),
        ("severity=high app=shop", "high"),
        ("severity=medium app=shop", "medium-payments"),
        ("severity=critical app=news+x", "critical-crawl"),
        ("severity=low app=news+x", "low-crawl"),
        ("severity=critical", "critical"),
    ],
)
def test_teams_get_their_apps_alerts(own: Path, tmp_path: Path, labels: str, receiver: str) -> None:
    """A team's own receiver is used for the severities that it names, at the same hours as the others'."""
    config = laid_out(generate.configuration(own), tmp_path / "am")
    routes = yaml.safe_load(config.read_text())["route"]["routes"]
    arguments = ["config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}"]
    done = amtool(PrometheusBinaries.of("newest").amtool, *arguments, "alertname=X", *labels.split())

    assert done.returncode == 0, done.stdout + done.stderr
    for route in routes:
        for child in route.get("routes", []):
            assert child.get("active_time_intervals") == route.get("active_time_intervals")


@pytest.mark.parametrize(
    ("teams", "message"),
    [
        ({"a b": {"apps": ["x"], "notify": {}}}, "invalid name 'a b' in `teams`"),
        ({"a": {"apps": [], "notify": {}}}, "invalid value [] for `teams.a.apps`: expected a list of names"),
        ({"a": {"apps": ['x"y'], "notify": {}}}, "for `teams.a.apps`: expected a list of names"),
        ({"a": {"apps": ["x"], "notify": {"urgent": ["a"]}}}, "unknown key `urgent` in `teams.a.notify`"),
        ({"a": {"apps": ["x"], "notify": {"low": ["z"]}}}, "unknown channel 'z' in `teams.a.notify.low`"),
        (
            {"a": {"apps": ["x"], "notify": {}}, "b": {"apps": ["x"], "notify": {}}},
            "app 'x' is in `teams.a.apps` and `teams.b.apps`: expected one of them",
        ),
    ],
)
def test_invalid_teams_are_refused(own: Path, teams: dict[str, Any], message: str) -> None:
    """A message names the team, the value and what was expected."""
    own.write_text(yaml.safe_dump(yaml.safe_load(own.read_text()) | {"teams": teams}))

    with pytest.raises(generate.ChannelsError) as error:
        generate.configuration(own)
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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("secrets: /etc", "secrets: !!bool S3CRETpw12 # /etc"),
        ("notify:", "notify: " + "[" * 3000),
        ("secrets: /etc", "secrets: !!timestamp S3CRETpw12 # /etc"),
        ("secrets: /etc", "secrets: 'S3CRETpw12 # /etc"),
        ("secrets: /etc/alertmanager/secrets", 'secrets: "http://u:S3CRETpw12@h"'),
        ("kind: webhook", "kind: S3CRETpw12"),
        ("notify:", "S3CRETpw12: 1\nnotify:"),
        ("notify:", "teams: {S3CRETpw12: 1}\nnotify:"),
        ("http://127.0.0.1:9848/", "http:/u:S3CRETpw12@h"),
    ],
)
def test_channels_pass_the_gate_of_all_yaml(tmp_path: Path, before: str, after: str) -> None:
    """Whatever is written ends in an error for people, which quotes no secret."""
    text = (FOLDER / "channels.yml").read_text()
    assert before in text
    (tmp_path / "channels.yml").write_text(text.replace(before, after, 1))

    with pytest.raises(generate.ChannelsError) as error:
        generate.configuration(tmp_path / "channels.yml")
    assert "S3CRETpw12" not in str(error.value)
