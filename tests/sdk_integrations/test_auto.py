"""`init(integrations="auto")` records what real applications do, made before it or after it, once each."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.events import Store
from tools.stack.programs.search import find

Run = Callable[..., str]

INIT = 'import platform_sdk; assert platform_sdk.init(integrations="auto")'
END = "assert platform_sdk.flush(60); print(platform_sdk.stats().dropped)"

DJANGO = """
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

def paper(request, pk):
    return HttpResponse(str(1 // pk))

settings.configure(
    SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, {more}
    DEBUG_PROPAGATE_EXCEPTIONS=False,
)
urlpatterns = [path("papers/<int:pk>/", paper)]
"""
MADE_DJANGO = "from django.core.wsgi import get_wsgi_application; application = get_wsgi_application()"
MADE_ASGI_DJANGO = "from django.core.asgi import get_asgi_application; application = get_asgi_application()"
FASTAPI = """
from fastapi import FastAPI
app = application = FastAPI()

@app.get("/papers/{pk}/")
def paper(pk: int) -> int:
    return 1 // pk
"""
STARLETTE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

async def paper(request):
    return PlainTextResponse(str(1 // request.path_params["pk"]))

inner = Starlette(routes=[Route("/{pk:int}/", paper)])
app = application = Starlette(routes=[Mount("/papers", inner)])
"""
FLASK = """
from flask import Flask
app = application = Flask("shop")

@app.get("/papers/<int:pk>/")
def paper(pk):
    return str(1 // pk)
"""
ASK_WSGI = """
from werkzeug.test import Client
client = Client(application)
print([client.get(f"/papers/{pk}/", buffered=True).status_code for pk in (1, 0)])
"""
ASK_ASGI = """
import asyncio, httpx

async def ask():
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return [(await client.get(f"/papers/{pk}/")).status_code for pk in (1, 0)]

print(asyncio.run(ask()))
"""
MANUAL_DJANGO = 'MIDDLEWARE=["platform_sdk.web.django.PlatformMiddleware"],'

WEB = {
    "django": (DJANGO.replace("{more}", ""), MADE_DJANGO, ASK_WSGI, "/papers/<int:pk>/"),
    "django asgi": (DJANGO.replace("{more}", ""), MADE_ASGI_DJANGO, ASK_ASGI, "/papers/<int:pk>/"),
    "django by hand": (DJANGO.replace("{more}", MANUAL_DJANGO), MADE_DJANGO, ASK_WSGI, "/papers/<int:pk>/"),
    "fastapi": ("", FASTAPI, ASK_ASGI, "/papers/{pk}/"),
    "fastapi by hand": (
        "from platform_sdk.web.asgi import PlatformMiddleware",
        f"{FASTAPI}\napp.add_middleware(PlatformMiddleware)", ASK_ASGI, "/papers/{pk}/",
    ),
    "fastapi wrapped": (
        "from platform_sdk.web.asgi import PlatformMiddleware",
        f"{FASTAPI}\napplication = PlatformMiddleware(app)", ASK_ASGI, "/papers/{pk}/",
    ),
    "starlette": ("", STARLETTE, ASK_ASGI, "/papers/{pk}/"),
    "flask": ("", FLASK, ASK_WSGI, "/papers/<int:pk>/"),
    "flask by hand": (
        "from platform_sdk.web.wsgi import PlatformMiddleware",
        f"{FLASK}\napp.wsgi_app = PlatformMiddleware(app.wsgi_app)", ASK_WSGI, "/papers/<int:pk>/",
    ),
}  # fmt: skip


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    """Return a function that runs a program of these parts, in a process of its own, and returns what it printed."""

    def run_parts(*parts: str, **environment: str) -> str:
        program = tmp_path / "shop.py"
        program.write_text("\n".join(map(textwrap.dedent, parts)))
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, program], cwd=root, capture_output=True, text=True, timeout=120,
            env={
                "PLATFORM_SDK_DSN": store.dsn, "PLATFORM_SDK_APP": "shop",
                "PLATFORM_SDK_SPOOL_FOLDER": str(tmp_path / "spool"), "PLATFORM_SDK_EXIT_TIMEOUT_SECONDS": "60",
                "PATH": "/usr/bin", **environment,
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_parts


@pytest.mark.parametrize("before", [True, False], ids=["init before", "init after"])
@pytest.mark.parametrize("name", list(WEB))
def test_requests_are_recorded_once(store: Store, run: Run, name: str, before: bool) -> None:
    """With their routes; an exception that the framework also logs is one error."""
    setting, made, ask, route = WEB[name]
    printed = run(INIT, setting, made, ask, END) if before else run(setting, made, INIT, ask, END)

    assert printed.splitlines() == ["[200, 500]", "{}"]
    assert store.rows("route, status") == [(route, 200), (route, 500)]
    assert store.rows("error_type, endpoint", "error") == [("ZeroDivisionError", route)]


SERVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

class Papers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Papers)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/papers/7"
"""
CALLS = {
    "requests": ("import requests", "session = requests.Session()", "session.get(url)"),
    "urllib3": ("import urllib3", "pools = urllib3.PoolManager()", "pools.request('GET', url)"),
    "httpx": ("import httpx", "client = httpx.Client()", "client.get(url)"),
    "aiohttp": (
        "import aiohttp, asyncio", "",
        """
        async def ask():
            async with aiohttp.ClientSession() as session:
                async with session.get(url) as response:
                    await response.text()
        asyncio.run(ask())
        """,
    ),
}  # fmt: skip


@pytest.mark.parametrize("before", [True, False], ids=["init before", "init after"])
@pytest.mark.parametrize("name", list(CALLS))
def test_calls_are_recorded_once(store: Store, run: Run, name: str, before: bool) -> None:
    """Under their hosts, also by clients made before."""
    imported, made, call = CALLS[name]
    run(SERVER, INIT, imported, made, call, END) if before else run(SERVER, imported, made, INIT, call, END)

    assert store.rows("api, endpoint, status", "api_call") == [("127.0.0.1", "/papers/{id}", 200)]


@pytest.mark.parametrize("before", [True, False], ids=["by hand before", "by hand after"])
def test_what_was_installed_stays(store: Store, run: Run, before: bool) -> None:
    """The rules of an application that installed a hook itself are in force, and calls are counted once."""
    by_hand = 'from platform_sdk.outgoing import requests as hook; hook.install(apis={"127.0.0.1": "papers"})'
    first, second = (by_hand, INIT) if before else (INIT, by_hand)
    run(SERVER, first, "import requests", second, "requests.get(url)", END)

    assert store.rows("api", "api_call") == [("papers",)]


@pytest.mark.parametrize("before", [True, False], ids=["init before", "init after"])
def test_celery(store: Store, run: Run, before: bool) -> None:
    """Tasks are background tasks; a failure, which Celery logs as well, is one error."""
    made = """
    from celery import Celery
    app = Celery("shop", broker="memory://", backend="cache+memory://")

    @app.task(name="shop.add", shared=False)
    def add(a, b):
        return a // b
    """
    work = """
    from celery.contrib.testing.worker import start_worker
    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        results = [add.delay(1, 1), add.delay(1, 0)]
        print([result.get(timeout=60, propagate=False) for result in results][0])
    """
    run(INIT, made, work, END) if before else run(made, INIT, work, END)

    assert sorted(store.rows("task, outcome", "background_task")) == [("shop.add", "failure"), ("shop.add", "success")]
    assert store.rows("error_type", "error") == [("ZeroDivisionError",)]


def test_rq(store: Store, run: Run, redis_server: Any) -> None:
    """Any worker that a program makes is a monitored one; a failure, which RQ logs as text, is one error."""
    program = f"""
    from redis import Redis
    from rq import Queue, SimpleWorker
    import operator
    connection = Redis.from_url("redis://{redis_server.address}/11")
    connection.flushdb()
    queue = Queue("auto", connection=connection)
    queue.enqueue(operator.floordiv, 1, 1)
    queue.enqueue(operator.floordiv, 1, 0)
    SimpleWorker([queue], connection=connection).work(burst=True)
    """
    run(INIT, program, END)

    assert sorted(store.rows("outcome, queue", "background_task")) == [("failure", "auto"), ("success", "auto")]
    assert store.rows("error_type", "error") == [("ZeroDivisionError",)]


def test_huey(store: Store, run: Run) -> None:
    """Tasks are background tasks; a failure is one error."""
    program = """
    from huey import MemoryHuey
    huey = MemoryHuey("auto", immediate=True)

    @huey.task()
    def divide(a, b):
        return a // b

    divide(1, 1), divide(1, 0)
    """
    run(INIT, program, END)

    assert sorted(store.rows("outcome, queue", "background_task")) == [("failure", "auto"), ("success", "auto")]
    assert store.rows("error_type", "error") == [("ZeroDivisionError",)]


@pytest.mark.parametrize("before", [True, False], ids=["init before", "init after"])
def test_apscheduler(store: Store, run: Run, before: bool) -> None:
    """Runs of jobs are background tasks; a failure, which APScheduler logs as well, is one error."""
    made = """
    import operator, threading
    from apscheduler.schedulers.background import BackgroundScheduler
    scheduler = BackgroundScheduler()
    """
    program = """
    ended, left = threading.Event(), [1, 2]
    scheduler.add_listener(lambda event: left.pop() == 1 and ended.set(), 4096 | 8192)
    scheduler.start()
    scheduler.add_job(operator.floordiv, args=(1, 1))
    scheduler.add_job(operator.floordiv, args=(1, 0))
    assert ended.wait(60)
    scheduler.shutdown()
    """
    run(INIT, made, program, END) if before else run(made, INIT, program, END)

    assert sorted(store.rows("outcome", "background_task")) == [("failure",), ("success",)]
    assert store.rows("error_type", "error") == [("ZeroDivisionError",)]


def test_scrapy(store: Store, run: Run) -> None:
    """A crawl is a run, without a setting."""
    program = """
    import scrapy
    from scrapy.crawler import CrawlerProcess

    class Papers(scrapy.Spider):
        name = "papers"
        start_urls = [url]

        def parse(self, response):
            yield {"title": response.text}

    crawl = CrawlerProcess({"TELNETCONSOLE_ENABLED": False, "LOG_ENABLED": False})
    crawl.crawl(Papers)
    crawl.start()
    """
    run(SERVER, INIT, program, END)

    assert store.rows("scraper, outcome, items_processed", "scraping_run") == [("papers", "success", 1)]


SYNC = """
from platform_sdk.jobs.scraping import scraping_job
with sync_playwright() as playwright, scraping_job(scraper="papers"):
    page = playwright.chromium.launch(executable_path="{browser}", timeout=0).new_page()
    page.goto(url, timeout=0)
"""
ASYNC = """
import asyncio
from platform_sdk.jobs.scraping import scraping_job

async def scrape():
    async with async_playwright() as playwright, scraping_job(scraper="papers"):
        browser = await playwright.chromium.launch(executable_path="{browser}", timeout=0)
        await (await browser.new_page()).goto(url, timeout=0)

asyncio.run(scrape())
"""
ONE = "import sys; print(sum(name in sys.modules for name in ('playwright.sync_api', 'playwright.async_api')))"


@pytest.mark.parametrize("before", [True, False], ids=["init before", "init after"])
@pytest.mark.parametrize("api", ["sync", "async"])
def test_playwright(store: Store, run: Run, api: str, before: bool) -> None:
    """Pages of a job are counted, by the API that is imported; the other is not loaded for it."""
    imported = f"from playwright.{api}_api import {api}_playwright"
    scrape = (SYNC if api == "sync" else ASYNC).replace("{browser}", str(find("chromium").path))
    parts = (INIT, imported) if before else (imported, INIT)
    printed = run(SERVER, *parts, scrape, END, ONE)

    assert printed.splitlines() == ["{}", "1"]
    assert store.rows("status, requests", "scraping_request") == [(200, 1)]


def test_nothing_is_imported(run: Run) -> None:
    """A program that uses none of them has none of them loaded, and no finder's trace in its modules."""
    frameworks = [
        "django",
        "starlette",
        "fastapi",
        "flask",
        "requests",
        "httpx",
        "aiohttp",
        "celery",
        "rq",
        "scrapy",
        "playwright",
    ]
    printed = run(INIT, f"import sys, json; print(json.dumps([n for n in {frameworks} if n in sys.modules]))")

    assert json.loads(printed) == []


def test_one_line_says_what_it_did(run: Run) -> None:
    """What is on, what waits for its import, what is not installed; what is left out is not in it."""
    log = "import logging, sys, requests; logging.basicConfig(level=logging.INFO, stream=sys.stdout)"
    init = 'import platform_sdk; assert platform_sdk.init(integrations=["auto", "-httpx", "-httpx2", "-logging"])'
    lines = [line for line in run(log, init).splitlines() if "integrations" in line]

    assert len(lines) == 1
    assert lines[0].startswith("INFO:platform_sdk:integrations: on: requests")
    assert "when it is imported: django, starlette, flask, aiohttp" in lines[0]
    assert "httpx" not in lines[0]


@pytest.mark.parametrize(
    ("value", "on"),
    [
        ("auto", ["requests", "urllib3", "logging"]), ("requests", ["requests"]),
        ("auto,-requests", ["urllib3", "logging"]), ("-logging", ["requests", "urllib3"]), ("", []),
    ],
)  # fmt: skip
def test_environment(run: Run, value: str, on: list[str]) -> None:
    """PLATFORM_SDK_INTEGRATIONS is "auto", or names separated by commas, of which those with a minus are left out."""
    program = """
    import requests, platform_sdk
    assert platform_sdk.init()
    from platform_sdk import integrations
    print(integrations.active())
    """
    assert run(program, PLATFORM_SDK_INTEGRATIONS=value).strip() == str(on)


def test_a_second_call(store: Store, run: Run) -> None:
    """It changes what is on, and nothing is counted twice."""
    again = 'assert platform_sdk.init(integrations="auto")'
    off = 'assert platform_sdk.init(integrations=["-requests", "-urllib3"])'
    run(SERVER, "import requests", INIT, again, "requests.get(url)", off, "requests.get(url)", END)

    assert store.count("api_call") == 1


def test_unknown_names_are_refused(run: Run) -> None:
    """The log says which there are."""
    program = """
    import platform_sdk
    assert not platform_sdk.init(integrations=["djagno"])
    """
    log = "import logging, sys; logging.basicConfig(stream=sys.stdout)"

    assert "invalid 'djagno' for integrations: expected auto, or names of django, starlette" in run(log, program)


def test_modules_stay_as_they_are(run: Run) -> None:
    """A module that was waited for has the loader and the spec that it has without, and its source can be had."""
    program = """
    import inspect, importlib.machinery, requests
    loader = requests.__spec__.loader
    print(type(loader) is importlib.machinery.SourceFileLoader, vars(loader).keys() - {"name", "path"} == set())
    print(requests.__loader__ is loader, "def " in inspect.getsource(requests))
    """
    assert run(INIT, program).split() == ["True"] * 4


def test_a_library_that_fails_to_import(run: Run, tmp_path: Path) -> None:
    """Raises what it raises; a later import that succeeds is recorded all the same."""
    (tmp_path / "httpx.py").write_text("raise ImportError('broken')")
    program = f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    try:
        import httpx
    except ImportError as error:
        print(error)
    """
    assert run(INIT, program).strip() == "broken"
