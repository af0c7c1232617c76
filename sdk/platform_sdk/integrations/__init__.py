"""Switch on what is installed: `platform_sdk.init(integrations="auto")`.

Nothing is imported by this: a library that the application has loaded is switched on at once, any other at the moment
when the application imports it, so one that is installed but not used costs nothing and changes nothing. Applications
made before or after `init` are recorded alike. What the application set up itself stays as it is, and is never counted
twice.

To add one: a line in `INTEGRATIONS`, and in its module `ensure()`, which switches it on unless the application did, and
`uninstall()`.
"""

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from platform_sdk.diagnostics import note
from platform_sdk.errors import OptionError
from platform_sdk.integrations import imports

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Integration:
    """One library: when `watched` is imported, `module` switches it on."""

    name: str
    watched: str
    module: str


INTEGRATIONS = tuple(
    Integration(name, watched, f"platform_sdk.{module}")
    for name, watched, module in (
        ("django", "django.core.handlers.base", "integrations.django"),
        ("starlette", "starlette.applications", "integrations.starlette"),  # FastAPI is one
        ("flask", "flask.app", "integrations.flask"),
        ("requests", "requests", "outgoing.requests"),
        ("urllib3", "urllib3", "outgoing.urllib3"),
        ("httpx", "httpx", "outgoing.httpx"),
        ("httpx2", "httpx2", "outgoing.httpx2"),
        ("aiohttp", "aiohttp", "outgoing.aiohttp"),
        ("playwright", "playwright", "integrations.playwright"),
        ("celery", "celery.signals", "jobs.celery"),
        ("rq", "rq", "integrations.rq"),
        ("huey", "huey.api", "integrations.huey"),
        ("apscheduler", "apscheduler.executors.base", "jobs.apscheduler"),
        ("scrapy", "scrapy.extension", "integrations.scrapy"),
        ("logging", "logging", "logs"),
    )
)
NAMES = {integration.name: integration for integration in INTEGRATIONS}

_on: set[str] = set()


def switch_on(chosen: Iterable[str]) -> None:
    """Switch on those of the option `integrations`, and off what an earlier call switched on. Logs one line."""
    names = wanted(chosen)
    for name in [name for name in _on if name not in names]:
        _switch_off(name)
    now: list[str] = []
    later: list[str] = []
    for name in names:
        integration = NAMES[name]
        if integration.watched in sys.modules:
            now += [name] if _switch_on(name) else []
        elif installed(integration):
            later.append(name)
            imports.when_imported(integration.watched, lambda name=name: _switch_on(name))  # type: ignore[misc]
    absent = [name for name in names if name not in (*now, *later) and not installed(NAMES[name])]
    parts = ("on: ", now), ("when it is imported: ", later), ("not installed: ", absent)
    text = "; ".join(title + ", ".join(found) for title, found in parts if found)
    logging.getLogger("platform_sdk").info("integrations: %s", text or "none")


def wanted(chosen: Iterable[str]) -> list[str]:
    """Return the names that the option `integrations` chooses, in the order of the table."""
    given = list(chosen)
    if not given:
        return []
    left_out = {name[1:] for name in given if name.startswith("-")}
    named = {_known(name) for name in given if name != AUTO and not name.startswith("-")}
    everything = AUTO in given or not named
    return [name for name in NAMES if (everything or name in named) and name not in map(_known, left_out)]


def check(chosen: Iterable[str]) -> None:
    """Raise OptionError for a name that there is not."""
    for name in chosen:
        if name != AUTO and _known(name.removeprefix("-")) not in NAMES:
            expected = f"{AUTO}, or names of {', '.join(NAMES)}, with a minus to leave one out"
            raise OptionError(f"invalid {name!r} for integrations: expected {expected}")


def installed(integration: Integration) -> bool:
    """Return whether a library is there, without importing it."""
    top = integration.watched.partition(".")[0]
    try:
        return top in sys.modules or find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def active() -> list[str]:
    """Return those that are on."""
    return [name for name in NAMES if name in _on]


def _known(name: str) -> str:
    return {"fastapi": "starlette"}.get(name, name)


def _switch_on(name: str) -> bool:
    try:
        import_module(NAMES[name].module).ensure()
        _on.add(name)
    except Exception as error:  # noqa: BLE001 - never into the application, whatever version of the library it has
        advice = f"it is not recorded; update platform_sdk, or leave it out: '-{name}'"
        note(f"integration {name}", f"{_version_of(name)} does not fit ({type(error).__name__}: {error}): {advice}")
    return name in _on


def _version_of(name: str) -> str:
    top = NAMES[name].watched.partition(".")[0]
    try:
        from importlib.metadata import version  # not loaded where nothing is wrong

        return f"{top} {version(top)}"
    except Exception:  # noqa: BLE001 - a distribution of another name, or none
        return top


def _switch_off(name: str) -> None:
    _on.discard(name)
    try:
        import_module(NAMES[name].module).uninstall()
    except Exception as error:  # noqa: BLE001 - never into the application
        note(f"integration {name}", error)


def forget() -> None:
    """Switch everything off, and wait for no import any more."""
    imports.forget()
    for name in active():
        _switch_off(name)
