"""Write Alertmanager's configuration: python -m alertmanager.generate, from the top of the repository.

Without arguments it writes the committed files: alertmanager.yml from channels.yml, alertmanager.compose.yml from the
same for docker-compose.yml, and alertmanager.example.yml from channels.example.yml. With --check it writes nothing, and
exits with status 1 where a file is not up to date. With a file of channels, it prints the configuration. Routes and
inhibition come from routes.yml unchanged.
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from alertmanager import settings
from alertmanager.channels import KINDS, Channel, ChannelsError

FOLDER = Path(__file__).parent
ROUTES = FOLDER / "routes.yml"
FILES = {
    FOLDER / "alertmanager.yml": FOLDER / "channels.yml",
    FOLDER / "alertmanager.example.yml": FOLDER / "channels.example.yml",
}
COMPOSE = FOLDER / "alertmanager.compose.yml"
"""As alertmanager.yml, but `history` goes to the exporter unless the file names another channel for it."""

COMPOSE_HISTORY = {
    "kind": "webhook",
    "url": "http://exporter:9847/api/v1/alerts/notifications",
    "token_file": "/run/secrets/alerts_token",
}
HEAD = """\
# Made by `python -m alertmanager.generate` from routes.yml and {channels}: change those, not this file.
# For Alertmanager {version} and newer.
#
"""
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
    intervals = [
        {"name": "working-hours", "time_intervals": [chosen.working_hours]},
        {"name": "digest", "time_intervals": [chosen.digest]},
    ]
    where = channels.relative_to(FOLDER) if channels.is_relative_to(FOLDER) else channels.name
    head = HEAD.format(channels=where, version=chosen.alertmanager)
    text = head + routes.rstrip() + "\n\n" + _dumped({"time_intervals": intervals}) + "\nreceivers:\n"
    receivers = {name: channels for name, channels in chosen.notify.items() if name != "history" or channels}
    return text + "".join(_receiver(name, channels) for name, channels in {**receivers, "nobody": []}.items())


def committed() -> dict[Path, str]:
    """Return the text of every file that is committed. Raises ChannelsError."""
    texts = {path: configuration(channels) for path, channels in FILES.items()}
    return texts | {COMPOSE: configuration(FOLDER / "channels.yml", COMPOSE_HISTORY)}


def _receiver(name: str, channels: list[Channel]) -> str:
    if not channels:
        return f"  - name: {name}{NO_CHANNEL}\n"
    receiver: dict[str, Any] = {"name": name}
    for channel in channels:
        kind = KINDS[channel["kind"]]
        receiver.setdefault(kind.section, []).append(kind.block(channel))
    return "".join(f"  {line}\n" for line in _dumped([receiver]).splitlines())


class _Dumper(yaml.SafeDumper):
    """Indents lists like the rest of the file, and writes no references."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def main(arguments: list[str]) -> int:
    """Write, check or print; return the exit status: 1 where a file differs or is invalid, 2 for wrong usage."""
    check = arguments == ["--check"]
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-") and not check):
        print("usage: python -m alertmanager.generate [--check | FILE]", file=sys.stderr)
        return 2
    try:
        if arguments and not check:
            print(configuration(Path(arguments[0]).resolve()), end="")
            return 0
        texts = committed()
    except (ChannelsError, OSError, yaml.YAMLError) as error:
        print(f"python -m alertmanager.generate: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path} is not up to date; run: python -m alertmanager.generate", file=sys.stderr)
        else:
            # In place: a container that has this very file mounted would not see a new one.
            path.write_text(texts[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
