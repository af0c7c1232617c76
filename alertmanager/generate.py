"""Write Alertmanager's configuration: python -m alertmanager.generate, from the top of the repository.

Without arguments all that is committed is written: alertmanager.yml of channels.yml, alertmanager.compose.yml of the
same for docker-compose.yml, and alertmanager.example.yml of channels.example.yml; with --check nothing is written, and
exit status 1 tells that a file differs from what would be. With a file of channels, the configuration is printed.
Routes and inhibition are taken from routes.yml as they stand.
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from alertmanager import settings
from alertmanager.channels import KINDS, Channel
from alertmanager.errors import ChannelsError

FOLDER = Path(__file__).parent
ROUTES = FOLDER / "routes.yml"
FILES = {
    FOLDER / "alertmanager.yml": FOLDER / "channels.yml",
    FOLDER / "alertmanager.example.yml": FOLDER / "channels.example.yml",
}
COMPOSE = FOLDER / "alertmanager.compose.yml"
"""As alertmanager.yml; and the exporter gets the history, where the owner names nobody else for it."""

COMPOSE_HISTORY = {
    "kind": "webhook",
    "url": "http://exporter:9847/api/v1/alerts/notifications",
    "token_file": "/run/secrets/alerts_token",
}
HEAD = """\
# Made by `python -m alertmanager.generate` of routes.yml and {channels}: change those, not this.
# Alertmanager {version} reads it, and so does the newest.
#
"""
NOBODY = "  # amlint: disable=empty-receiver"


def configuration(channels: Path, history: dict[str, Any] | None = None) -> str:
    """Return the text of Alertmanager's configuration for a file of channels. Raises ChannelsError.

    history: a channel for the history, as one would be written in the file; for a file that names none.
    """
    owner = settings.read(channels, history)
    routes = ROUTES.read_text(encoding="utf-8")
    if owner.tell["history"]:
        routes = re.sub(r" *# </?history>\n", "", routes)
    else:
        routes = re.sub(r" *# <history>\n.*?# </history>\n", "", routes, flags=re.DOTALL)
    intervals = [
        {"name": "working-hours", "time_intervals": [owner.working_hours]},
        {"name": "digest", "time_intervals": [owner.digest]},
    ]
    where = channels.relative_to(FOLDER) if channels.is_relative_to(FOLDER) else channels.name
    head = HEAD.format(channels=where, version=owner.alertmanager)
    text = head + routes.rstrip() + "\n\n" + _dumped({"time_intervals": intervals}) + "\nreceivers:\n"
    told = {name: told for name, told in owner.tell.items() if name != "history" or told}
    return text + "".join(_receiver(name, channels) for name, channels in {**told, "nobody": []}.items())


def committed() -> dict[Path, str]:
    """Return the text of every file that is committed. Raises ChannelsError."""
    texts = {path: configuration(channels) for path, channels in FILES.items()}
    return texts | {COMPOSE: configuration(FOLDER / "channels.yml", COMPOSE_HISTORY)}


def _receiver(name: str, channels: list[Channel]) -> str:
    if not channels:
        return f"  - name: {name}{NOBODY}\n"
    receiver: dict[str, Any] = {"name": name}
    for channel in channels:
        kind = KINDS[channel["kind"]]
        receiver.setdefault(kind.section, []).append(kind.block(channel))
    return "".join(f"  {line}\n" for line in _dumped([receiver]).splitlines())


class _Dumper(yaml.SafeDumper):
    """Write lists indented, as the rest of the file does, and nothing by reference."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def main(arguments: list[str]) -> int:
    """Write, check or print; return the exit status: 1 where a file differs or cannot be used, 2 for wrong usage."""
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
            print(f"{path} is not what the generator writes; run: python -m alertmanager.generate", file=sys.stderr)
        else:
            # In place: a container that has this very file mounted would not see a new one.
            path.write_text(texts[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
