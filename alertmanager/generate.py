"""Write Alertmanager's configuration: python -m alertmanager.generate, from the top of the repository.

Without arguments it writes the committed files: alertmanager.yml from channels.yml, alertmanager.compose.yml from the
same for docker-compose.yml, prometheus/rules/hours.yml with its working hours and trial, and alertmanager.example.yml
from channels.example.yml. With a file of your own it prints the configuration, or writes all of these and the templates
into a folder of yours. Routes and inhibition come from routes.yml.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from alertmanager import settings
from alertmanager.channels import KINDS, Channel, ChannelsError
from exporter.mixin import hours
from exporter.mixin.yaml_text import dumped

FOLDER = Path(__file__).parent
ROUTES = FOLDER / "routes.yml"
FILES = {
    FOLDER / "alertmanager.yml": FOLDER / "channels.yml",
    FOLDER / "alertmanager.example.yml": FOLDER / "channels.example.yml",
}
HOURS = FOLDER.parent / "prometheus/rules/hours.yml"
COMPOSE = FOLDER / "alertmanager.compose.yml"
"""As alertmanager.yml, but `history` goes to the exporter unless the file names another channel for it, and what goes
to the receiver of notifications on this machine goes to the service of that name."""

COMPOSE_HISTORY = {
    "kind": "webhook",
    "url": "http://exporter:9847/api/v1/alerts/notifications",
    "token_file": "/run/secrets/alerts_token",
}
RECEIVER, COMPOSE_RECEIVER = "http://127.0.0.1:9848/", "http://notifications:9848/"
HEAD = """\
# Made by `python -m alertmanager.generate` from routes.yml and {channels}: change those, not this file.
# For Alertmanager {version} and newer.
#
"""
USAGE = "Write Alertmanager's configuration; without a FILE, the committed files again."
NO_CHANNEL = "  # amlint: disable=empty-receiver"


def configuration(channels: Path, history: dict[str, Any] | None = None) -> str:
    """Return the text of Alertmanager's configuration for a file of channels. Raises ChannelsError.

    history: the channel for the history, as in the file, where the file names none.
    """
    chosen = settings.read(channels, history)
    routes = ROUTES.read_text(encoding="utf-8")
    if chosen.notify["history"]:
        routes = re.sub(r" *# </?history>\n", "", routes)
    else:
        routes = re.sub(r" *# <history>\n.*?# </history>\n", "", routes, flags=re.DOTALL)
    for team in chosen.teams:
        routes = _with_team(routes, team)
    if chosen.trial:
        routes = _with_trial(routes, chosen.trial)
    intervals = [
        {"name": "working-hours", "time_intervals": [chosen.working_hours]},
        {"name": "digest", "time_intervals": [chosen.digest]},
    ]
    head = HEAD.format(channels=channels.name, version=chosen.alertmanager)
    text = head + routes.rstrip() + "\n\n" + dumped({"time_intervals": intervals}) + "\nreceivers:\n"
    return text + "".join(_receiver(name, channels) for name, channels in chosen.receivers.items())


def compose_configuration(channels: Path) -> str:
    """Return the text for docker-compose.yml. Raises ChannelsError."""
    return configuration(channels, COMPOSE_HISTORY).replace(RECEIVER, COMPOSE_RECEIVER)


def committed() -> dict[Path, str]:
    """Return the text of every file that is committed. Raises ChannelsError."""
    texts = {path: configuration(channels) for path, channels in FILES.items()}
    channels = FOLDER / "channels.yml"
    texts |= {COMPOSE: compose_configuration(channels)}
    return texts | {HOURS: _hours(channels)}


def _hours(channels: Path) -> str:
    """Return the rules of the working hours and the trial of a file of channels."""
    chosen = settings.read(channels)
    return hours.rules(chosen.working_hours, chosen.trial, f"`python -m alertmanager.generate` from {channels.name}")


def _with_trial(routes: str, alerts: str) -> str:
    """Return the text of the routes where some alerts reach the history alone, and mute nothing."""
    trial = f"""    # A trial: these alerts notify no one.
    - matchers: ['alertname=~"{alerts}"']
      receiver: nobody
"""
    critical = "    - matchers: ['severity=\"critical\"']\n"
    sources = f"source_matchers: ['alertname!~\"{alerts}\"', "
    return routes.replace(critical, trial + critical, 1).replace("source_matchers: [", sources)


def _with_team(routes: str, team: settings.Team) -> str:
    """Return the text of the routes with those of a team inside the route of each of its severities."""
    # A class of characters, as a backslash would have to be escaped for Alertmanager, too.
    apps = "|".join(re.sub(r"[^\w-]", lambda match: f"[{match[0]}]", app) for app in team.apps)
    for route in yaml.safe_load(routes)["route"]["routes"]:
        severity = route["receiver"]
        if severity in team.notify:
            own = {"matchers": [f'app=~"{apps}"'], "receiver": f"{severity}-{team.name}"}
            # The only thing that a route does not inherit.
            own |= {key: route[key] for key in ("active_time_intervals",) if key in route}
            lines = [f"        {line}\n" for line in dumped([own]).splitlines()]
            head = "" if "routes" in route else "      routes:\n"
            place = f"      receiver: {severity}\n" + ("      routes:\n" if "routes" in route else "")
            routes = routes.replace(place, place + head + "".join(lines), 1)
    return routes


def _receiver(name: str, channels: list[Channel]) -> str:
    if not channels:
        return f"  - name: {name}{NO_CHANNEL}\n"
    receiver: dict[str, Any] = {"name": name}
    for channel in channels:
        kind = KINDS[channel["kind"]]
        # To whoever expects the watchdog, its end would be one more sign of life. What ended is in the digest as
        # an alert of its own, PlatformAlertEnded.
        end = {"send_resolved": name.partition("-")[0] not in ("watchdog", "low")}
        receiver.setdefault(kind.section, []).append(kind.block(channel) | end)
    return "".join(f"  {line}\n" for line in dumped([receiver]).splitlines())


def write_own(channels: Path, folder: Path) -> None:
    """Write what a file of channels makes into a folder: the configuration, its templates, the rule of the hours."""
    text, compose = configuration(channels), compose_configuration(channels)
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    for template in (FOLDER / "templates").glob("*.tmpl"):
        (folder / "templates" / template.name).write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "alertmanager.yml").write_text(text, encoding="utf-8")
    (folder / COMPOSE.name).write_text(compose, encoding="utf-8")
    (folder / HOURS.name).write_text(_hours(channels), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write, check or print; return the exit status: 1 where a file differs or is invalid, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m alertmanager.generate", description=USAGE)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a file is not up to date")
    parser.add_argument("channels", nargs="?", type=Path, metavar="FILE", help="a file of channels of your own")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write what FILE makes into this folder")
    parser.add_argument(
        "--secrets", type=Path, metavar="DIR", help="check that each secret that FILE names is a file here"
    )
    try:
        chosen = parser.parse_args(arguments)
        if (chosen.channels is None and (chosen.output or chosen.secrets)) or (chosen.channels and chosen.check):
            parser.error("--output and --secrets go with FILE, --check with none")
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return (
            _own(chosen.channels.resolve(), chosen.output, chosen.secrets)
            if chosen.channels
            else _committed_files(chosen.check)
        )
    except (ChannelsError, OSError, yaml.YAMLError) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        for problem in said.splitlines() if isinstance(error, ChannelsError) else [said]:
            print(f"python -m alertmanager.generate: {problem}", file=sys.stderr)
        return 1


def _own(channels: Path, output: Path | None, secrets: Path | None) -> int:
    text, chosen = configuration(channels), settings.read(channels)
    unusable = chosen.unusable_secrets(secrets) if secrets else []
    for problem in unusable:
        print(f"python -m alertmanager.generate: {channels}: {problem}", file=sys.stderr)
    if unusable:
        return 1
    if secrets:
        print(f"{channels}: all {len(chosen.secret_files())} secrets of channels in use are in {secrets}")
    if output:
        write_own(channels, output)
        print(f"wrote {output}; reload Alertmanager, and Prometheus for {HOURS.name}")
    elif not secrets:
        print(text, end="")
    return 0


def _committed_files(check: bool) -> int:
    texts = committed()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path} is not up to date; run: python -m alertmanager.generate", file=sys.stderr)
        else:
            # In place: a container that has this very file mounted would not see a new one.
            path.write_text(texts[path], encoding="utf-8")
            print(f"wrote {path.relative_to(FOLDER.parent)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
