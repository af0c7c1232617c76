"""The parts of an installation as texts and files, and what existing configurations need to load them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from exporter.errors import ConfigError
from exporter.mixin import dashboards, kubernetes, routes, rules, scrape
from exporter.mixin.insertion import with_entries, without_entries
from exporter.mixin.installation import Installation
from exporter.mixin.yaml_text import dumped

HEAD = f"# Made by {rules.MAKER}: make it again instead of changing it.\n"
RULES, DASHBOARDS, SCRAPE, ROUTES = "rules", "dashboards", "scrape.yml", "alertmanager.yml"


def _rules(installation: Installation) -> str:
    groups = [group for groups in rules.files(installation).values() for group in groups]
    return HEAD + dumped({"groups": groups})


def _scrape(installation: Installation) -> str:
    return HEAD + dumped({"scrape_configs": scrape.scrape_configs(installation)})


def _routes(installation: Installation) -> str:
    found = routes.additions(installation)
    return HEAD + dumped({"route": {"routes": [found.pop("route")]}, **found})


def _dashboards(installation: Installation) -> str:
    return json.dumps(dashboards.dashboards(installation), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


PARTS: dict[str, Callable[[Installation], str]] = {
    "rules": _rules,
    "scrape": _scrape,
    "routes": _routes,
    "dashboards": _dashboards,
}
"""What makes the text of each part, by its name on the command line."""


def objects_text(installation: Installation, namespace: str, labels: Mapping[str, str]) -> str:
    """Return all objects of Kubernetes as one stream of YAML."""
    return HEAD + "---\n".join(dumped(one) for one in kubernetes.objects(installation, namespace, labels))


def write(installation: Installation, folder: Path) -> list[Path]:
    """Write all parts into a folder and return the files. Raises ConfigError where that cannot be."""
    texts = {
        f"{RULES}/{name}.yml": HEAD + dumped({"groups": groups}) for name, groups in rules.files(installation).items()
    }
    texts |= {
        f"{DASHBOARDS}/{name}.json": dashboards.text(one) for name, one in dashboards.dashboards(installation).items()
    }
    return _written(folder, texts | {SCRAPE: _scrape(installation), ROUTES: _routes(installation)})


def write_objects(installation: Installation, folder: Path, namespace: str, labels: Mapping[str, str]) -> list[Path]:
    """Write the objects of Kubernetes, a file each, and return the files. Raises ConfigError where that cannot be."""
    found = kubernetes.objects(installation, namespace, labels)
    return _written(
        folder, {f"{one['kind'].lower()}-{one['metadata']['name']}.yaml": HEAD + dumped(one) for one in found}
    )


def add_to_prometheus(config: Path, folder: Path) -> list[Path]:
    """Make Prometheus load the rules and the scrape job of a folder; return the file if it was changed."""
    text = before = _read(config)
    text = with_entries(text, ("rule_files",), [f"{folder.absolute()}/{RULES}/*.yml"])
    text = with_entries(text, ("scrape_config_files",), [f"{folder.absolute()}/{SCRAPE}"])
    return _changed(config, before, text)


def add_to_alertmanager(config: Path, installation: Installation) -> list[Path]:
    """Give an Alertmanager our routes, before its own, and our inhibition; return the file if it was changed.

    What was added before is replaced.
    """
    text = before = _read(config)
    found = routes.additions(installation)
    top = found.pop("route")
    lists = {("route", "routes"): [top]} | {(key,): entries for key, entries in found.items()}
    for key, entries in lists.items():
        text = with_entries(without_entries(text, key, routes.is_ours), key, entries, first=entries == [top])
    return _changed(config, before, text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'expected UTF-8'}") from error


def _changed(path: Path, before: str, text: str) -> list[Path]:
    return _written(path.parent, {path.name: text}) if text != before else []


def _written(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts in place, as containers have single files mounted; remove rules that an earlier release wrote."""
    paths = {folder / name: text for name, text in texts.items()}
    try:
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for old in (folder / RULES).glob("*.yml"):
            if old not in paths and old.read_text(encoding="utf-8").startswith(HEAD):
                old.unlink()
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return list(paths)
