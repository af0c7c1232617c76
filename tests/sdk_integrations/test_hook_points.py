"""What the integrations replace in their libraries: it is there, and the log says which library lost it."""

import subprocess
import sys
from pathlib import Path

import pytest

from platform_sdk.integrations import INTEGRATIONS

ROOT = Path(__file__).parents[2]

HOOKS = {
    "django": ("django.core.handlers.base", "BaseHandler", "get_response_async"),
    "starlette": ("starlette.applications", "Starlette", "__call__"),
    "flask": ("flask.app", "Flask", "__call__"),
    "requests": ("requests", "adapters.HTTPAdapter", "send"),
    "urllib3": ("urllib3", "Retry", "sleep"),
    "httpx": ("httpx", "AsyncHTTPTransport", "handle_async_request"),
    "httpx2": ("httpx2", "AsyncHTTPTransport", "handle_async_request"),
    "aiohttp": ("aiohttp", "ClientSession", "_request"),
    "playwright": ("playwright.sync_api", "Page", "goto"),
    "celery": ("celery.signals", "", "task_prerun"),
    "rq": ("rq", "Worker", "__init__"),
    "huey": ("huey.api", "Huey", "__init__"),
    "apscheduler": ("apscheduler.executors.base", "BaseExecutor", "submit_job"),
    "scrapy": ("scrapy.extension", "ExtensionManager", "_get_mwlist_from_settings"),
    "logging": ("logging", "Logger", "callHandlers"),
}  # fmt: skip
"""What one of the methods, or names, is that each needs: a module, a class in it, an attribute."""

PROGRAM = """
import importlib, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
module, owner, attribute, name, gone = sys.argv[1:]
found = importlib.import_module(module)
for part in filter(None, owner.split(".")):
    found = getattr(found, part)
for kind in getattr(found, "__mro__", [found])[: 99 * bool(gone)]:
    if attribute in vars(kind) and kind is not object:
        delattr(kind, attribute)
import platform_sdk
from platform_sdk import integrations
print(platform_sdk.init("dbname=x", "shop", spool_folder="", integrations=[name]), name in integrations.active())
"""


def started(name: str, *gone: str) -> str:
    module, owner, attribute = HOOKS[name]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, owner, attribute, name, *(gone or [""])],
        cwd=ROOT, env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT / "sdk")}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_integration_is_here() -> None:
    """One that is added gets its line above."""
    assert list(HOOKS) == [integration.name for integration in INTEGRATIONS]


@pytest.mark.parametrize("name", HOOKS)
def test_it_fits_the_installed_version(name: str) -> None:
    """The library still has what is replaced: otherwise the log names the version and what is missing."""
    printed = started(name)

    assert "does not fit" not in printed
    assert printed.endswith("True True\n"), printed


@pytest.mark.parametrize("name", [name for name in HOOKS if name != "logging"])  # without it nothing is logged
def test_one_that_lost_it(name: str) -> None:
    """The application starts, and the log says what is not recorded, why, and what to do."""
    printed = started(name, "gone")

    assert printed.endswith("True False\n"), printed
    (line,) = [line for line in printed.splitlines() if "does not fit" in line]
    assert HOOKS[name][2] in line
    assert f"leave it out: '-{name}'" in line


def test_an_application_that_installs_it() -> None:
    """Nothing is raised, and no method is replaced."""
    program = """
import httpx
send = httpx.HTTPTransport.handle_request
for kind in httpx.AsyncHTTPTransport.__mro__[:2]:
    del kind.handle_async_request
from platform_sdk.outgoing import httpx as outgoing
outgoing.install()
print(httpx.HTTPTransport.handle_request is send)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "sdk", capture_output=True, text=True, timeout=120
    )

    assert done.stdout == "True\n", done.stderr
    assert "nothing is recorded: httpx" in done.stderr
    assert "has no 'handle_async_request'" in done.stderr
