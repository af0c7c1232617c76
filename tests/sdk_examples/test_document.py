"""What docs/sdk.md says is true: each of its blocks is run as it is written, and makes the rows expected."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import MISSING
from datetime import UTC, datetime
from functools import partialmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import requests
from playwright.sync_api import BrowserType
from redis import Redis as Connection

import platform_sdk
from platform_sdk import emit, integrations, logs, options, scope
from platform_sdk.delivery import intake
from platform_sdk.events import EVENTS
from platform_sdk.jobs import apscheduler
from platform_sdk.outgoing import aiohttp, httpx, urllib3
from platform_sdk.outgoing import playwright as outgoing_playwright
from platform_sdk.outgoing import requests as outgoing_requests
from tests.sdk_examples import document
from tests.sdk_examples.conftest import Store
from tests.sdk_examples.running import Programs
from tests.servers import PATIENCE_SECONDS, poll_until
from tools.stack.programs.search import find
from tools.stack.servers import Redis

Run = Callable[..., dict[str, Any]]

BLOCKS = document.blocks()

EXTERNAL = "export.arxiv.org"
"""The API that the document's examples call; here it is a server on loopback."""


def block(heading: str, language: str = "python") -> str:
    """Return the one block of this language below a heading."""
    texts = [each.text for each in BLOCKS[heading] if each.language == language]
    assert len(texts) == 1, f"{heading}: {len(texts)} blocks of {language}"
    return texts[0]


@contextlib.contextmanager
def reading(store: Store, role: str) -> Iterator[str]:
    """Make the role that the document gives to what reads; return its DSN."""
    store.database.execute(block("SciTeX Cloud's calls", "sql").replace("shop_reader", role))
    try:
        yield store.dsn.replace(store.role, role)
    finally:
        store.database.execute(f"DROP ROLE {role}")


class _Papers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<feed/>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-RateLimit-Remaining", "41")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture
def external(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Resolve the name of the document's API to a server on loopback; return that server's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Papers)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    look_up = socket.getaddrinfo

    def here(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        names = (EXTERNAL, EXTERNAL.encode())
        return look_up(*(server.server_address if host in names else (host, port)), *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def broker(redis_server: Redis) -> Iterator[str]:
    """Return the URL of an empty database of the session's Redis."""
    url = f"redis://{redis_server.address}/9"
    yield url
    with Connection.from_url(url) as connection:
        connection.flushdb()


@pytest.fixture
def empty(store: Store) -> None:
    """Empty the tables of events."""
    tables = ", ".join(f"monitoring.{kind.name}" for kind in EVENTS)
    store.database.execute(f"TRUNCATE {tables}")


@pytest.fixture
def run(programs: Programs, monkeypatch: pytest.MonkeyPatch, empty: None) -> Iterator[Run]:
    """Return a function that runs a section's block in this process, with the SDK started and the tables empty."""
    for name, value in programs.environment.items():
        monkeypatch.setenv(name, value)
    assert platform_sdk.init()

    def run_block(heading: str, **names: Any) -> dict[str, Any]:
        exec(compile(block(heading), f"docs/sdk.md: {heading}", "exec"), names)
        assert platform_sdk.flush(PATIENCE_SECONDS)
        return names

    yield run_block
    for library in (outgoing_requests, httpx, aiohttp, urllib3, outgoing_playwright):
        library.uninstall()
    platform_sdk.close(1.0)


def requests_of(store: Store) -> list[tuple[Any, ...]]:
    """Return what is stored of requests."""
    return store.rows("route, method, status, release", "http_request")


def test_set_up(store: Store, programs: Programs, tmp_path: Path) -> None:
    """The role may add events and read none, the reader's may read and add none; the SDK reads the variables."""
    store.database.execute(block("Set up", "sql"))
    try:
        with psycopg.connect(store.dsn.replace(store.role, "shop"), autocommit=True) as shop:
            shop.execute(
                "INSERT INTO monitoring.error (at, app, severity, error_type) VALUES (now(), 'other', 'low', 'Test')"
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                shop.execute("SELECT * FROM monitoring.error")
        with reading(store, "shop_reader") as dsn, psycopg.connect(dsn, autocommit=True) as shop_reader:
            shop_reader.execute("SELECT context FROM monitoring_restricted.error")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                shop_reader.execute("INSERT INTO monitoring.error (app) VALUES ('other')")
    finally:
        store.database.execute("DROP OWNED BY shop; DROP ROLE shop")
    password, script = tmp_path / "password", tmp_path / "set-up.sh"
    password.write_text("hunter2\n")
    show = "python -c 'from platform_sdk import options; o = options.read({}); print(o, o.password)'"
    script.write_text(f"{block('Set up', 'sh')}\nexport PLATFORM_SDK_PASSWORD_FILE={password}\n{show}\n")
    shown = programs.run("sh", script, cwd=tmp_path)

    assert "app='shop', release='1.2.3'" in shown
    assert shown.endswith("hunter2\n")


def test_django(store: Store, programs: Programs, tmp_path: Path, empty: None) -> None:
    """Added to the settings of a project, requests and exceptions are recorded."""
    (tmp_path / "settings.py").write_text(DJANGO_SETTINGS + block("Django"))
    (tmp_path / "urls.py").write_text(DJANGO_URLS)
    server = ("gunicorn", "--bind", "{address}", "--preload", "django.core.wsgi:get_wsgi_application()")
    with programs.serving(*server, cwd=tmp_path, DJANGO_SETTINGS_MODULE="settings") as url:
        assert [requests.get(f"{url}/papers/7/{what}").status_code for what in ("", "fail")] == [200, 500]

    assert requests_of(store) == [
        ("/papers/<int:pk>/", "GET", 200, "1.2.3"),
        ("/papers/<int:pk>/fail", "GET", 500, "1.2.3"),
    ]
    assert store.rows("error_type, endpoint", "error") == [("LookupError", "/papers/<int:pk>/fail")]


@pytest.mark.parametrize("kind", [list, tuple])
def test_django_settings_of_either_kind(kind: type) -> None:
    """Lists of applications and middlewares may be tuples, too; ours is the first middleware and the last app."""
    names = {"INSTALLED_APPS": kind(["shop"]), "MIDDLEWARE": kind(["shop.Middleware"])}
    exec(block("Django"), names)

    assert names["INSTALLED_APPS"] == ["shop", "platform_sdk.web.django.PlatformConfig"]
    assert names["MIDDLEWARE"] == ["platform_sdk.web.django.PlatformMiddleware", "shop.Middleware"]


def test_fastapi(store: Store, programs: Programs, tmp_path: Path, empty: None) -> None:
    """Routes added to it later are recorded by their templates."""
    routes = '\n\n@app.get("/papers/{pk}")\ndef paper(pk: int) -> int:\n    return pk\n'
    (tmp_path / "main.py").write_text(block("FastAPI and Starlette") + routes)
    with programs.serving("uvicorn", "--host", "{host}", "--port", "{port}", "main:app", cwd=tmp_path) as url:
        assert [requests.get(f"{url}/papers/{pk}").status_code for pk in (7, "x")] == [200, 422]

    assert requests_of(store) == [("/papers/{pk}", "GET", 200, None), ("/papers/{pk}", "GET", 422, None)]


def test_the_user_of_a_dependency(store: Store, programs: Programs, tmp_path: Path, empty: None) -> None:
    """The requests of a router's routes are those of the user."""
    more = '\nfrom routes import router\n\n\n@router.get("/papers")\ndef papers() -> int:\n    return 1\n\n\n'
    (tmp_path / "routes.py").write_text(block("A user that a dependency returns"))
    (tmp_path / "main.py").write_text(f"{block('FastAPI and Starlette')}{more}app.include_router(router)\n")
    with programs.serving("uvicorn", "--host", "{host}", "--port", "{port}", "main:app", cwd=tmp_path) as url:
        assert requests.get(f"{url}/papers").status_code == 200

    assert store.rows("route, user_id, role", "http_request") == [("/papers", "7", "editor")]


def test_flask(store: Store, programs: Programs, tmp_path: Path, empty: None) -> None:
    """Rules are the routes; an exception that Flask answers is recorded."""
    routes = '\n\n@app.get("/papers/<int:pk>")\ndef paper(pk: int) -> str:\n    return str(1 // pk)\n'
    (tmp_path / "app.py").write_text(block("Flask and other WSGI applications") + routes)
    with programs.serving("gunicorn", "--bind", "{address}", "app:app", cwd=tmp_path) as url:
        assert [requests.get(f"{url}/papers/{pk}").status_code for pk in (7, 0)] == [200, 500]

    assert requests_of(store) == [("/papers/<int:pk>", "GET", 200, None), ("/papers/<int:pk>", "GET", 500, None)]
    assert store.rows("error_type, endpoint", "error") == [("ZeroDivisionError", "/papers/<int:pk>")]


@pytest.mark.parametrize("library", ["requests", "httpx", "aiohttp", "urllib3"])
def test_external_calls(store: Store, run: Run, external: str, library: str) -> None:
    """A call made after the hook was installed is a row, under the name given."""
    run(library)

    assert store.rows("api, endpoint, method, status, outcome, response_bytes, rate_limit_remaining", "api_call") == [
        ("arxiv", "/api/query", "GET", 200, "success", 7, 41)
    ]


def test_scraping_job(store: Store, run: Run) -> None:
    """The loop is a run with its items."""
    run("Scraping jobs")

    assert store.rows("scraper, site, outcome, items_processed", "scraping_run") == [
        ("papers", "export.arxiv.org", "success", 3)
    ]


def test_what_is_expected(store: Store, run: Run) -> None:
    """It is in the run's row."""
    run("What is expected")

    columns = "expected_within_seconds, least_items, shortest_seconds, longest_seconds"
    assert store.rows(columns, "scraping_run") == [(26 * 3600, 2, 1, 3 * 3600)]


def test_fields_of_items(store: Store, run: Run) -> None:
    """Filled ones are counted, nested ones too."""
    run("Fields of items")

    assert store.rows("field, type, items", "scraping_field", "field IS NOT NULL") == [
        ("price", "number", 1), ("seller", "object", 1), ("seller.name", "text", 1), ("title", "text", 2),
    ]  # fmt: skip


def test_pages_in_a_browser(store: Store, run: Run, external: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is a request of the job."""
    here = f"--host-resolver-rules=MAP {EXTERNAL}:80 {external.removeprefix('http://')}"
    options = {"executable_path": find("chromium").path, "args": [here], "timeout": 1000 * PATIENCE_SECONDS}
    monkeypatch.setattr(BrowserType, "launch", partialmethod(BrowserType.launch, **options))
    run("Pages in a browser")

    assert store.rows("site, status, requests", "scraping_request") == [(EXTERNAL, 200, 1)]
    assert store.rows("outcome, items_processed", "scraping_run") == [("success", 1)]


def test_proxies(store: Store, run: Run, tmp_path: Path) -> None:
    """Of the table each has its provider and its price; a disallowed page is not a request."""
    (tmp_path / "proxies.toml").write_text(block("Proxies, and what they cost", "toml"))
    assert platform_sdk.init(proxy_providers=str(tmp_path / "proxies.toml"))
    run("Politeness")

    columns = "site, proxy, requests, round(cost * 1e6), disallowed"
    assert store.rows(columns, "scraping_request") == [
        ("shop.example", "acme", 1, 1500, 0), ("shop.example", None, 0, None, 1),
    ]  # fmt: skip


def test_language_models(store: Store, run: Run, tmp_path: Path) -> None:
    """What no hook sees costs what the table says of its tier."""
    (tmp_path / "prices.toml").write_text(block("Language models", "toml"))
    assert platform_sdk.init(prices=str(tmp_path / "prices.toml"))
    run("Language models")

    assert store.rows("model, input_tokens, service_tier, round(cost * 1e6)", "api_call") == [
        ("gpt-4o", 1200, "batch", (1200 * 2.5 + 80 * 10) / 2)
    ]


def test_consumers(store: Store, run: Run) -> None:
    """A call is on behalf of whom the application named."""
    with scope.opened():
        run("Consumers")

    assert store.rows("api, consumer", "api_call") == [("maps", "acme")]


def test_blocked_with_a_200(store: Store, run: Run) -> None:
    """The function's verdict ends the run."""
    run("Blocked with a 200")

    assert store.rows("reason, block", "scraping_run") == [("blocked", "custom")]


def test_scrapy(store: Store, programs: Programs, tmp_path: Path, external: str, empty: None) -> None:
    """With these settings a crawl is a run."""
    (tmp_path / "settings.py").write_text(block("Scrapy"))
    (tmp_path / "scrapy.cfg").write_text("[settings]\ndefault = settings\n")
    (tmp_path / "spider.py").write_text(SPIDER)
    programs.run("scrapy", "runspider", "spider.py", "-a", f"url={external}", cwd=tmp_path)

    assert store.rows("app, scraper, outcome, items_processed", "scraping_run") == [("shop", "papers", "success", 1)]


def test_celery(store: Store, programs: Programs, tmp_path: Path, broker: str, empty: None) -> None:
    """A task whose name matches is a run, in a child that is recycled after it."""
    (tmp_path / "tasks.py").write_text(block("Celery"))
    send, worker = "import tasks; tasks.scrape_arxiv.delay(3)", ("-A", "tasks", "worker", "--concurrency", "1")
    programs.run("python", "-c", send, cwd=tmp_path, CELERY_BROKER_URL=broker)
    with programs.running("celery", *worker, "--max-tasks-per-child", "1", cwd=tmp_path, CELERY_BROKER_URL=broker):
        poll_until(lambda: store.rows("1", "scraping_run"), what="the task's run")

    assert store.rows("scraper, outcome, items_processed", "scraping_run") == [("papers", "success", 3)]


def test_rq(
    store: Store, run: Run, programs: Programs, tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose meta names a scraper is a run."""
    (tmp_path / "jobs.py").write_text(RQ_JOBS)
    (tmp_path / "worker.sh").write_text(f"exec {block('RQ', 'sh')}")
    monkeypatch.syspath_prepend(tmp_path)
    run("RQ", redis_url=broker)
    with programs.running("sh", "worker.sh", cwd=tmp_path, RQ_REDIS_URL=broker, PYTHONPATH=str(tmp_path)):
        poll_until(lambda: store.rows("1", "scraping_run"), what="the job's run")

    assert store.rows("scraper, site, outcome, items_processed", "scraping_run") == [
        ("papers", "export.arxiv.org", "success", 3)
    ]


def test_huey(store: Store, programs: Programs, tmp_path: Path, broker: str, empty: None) -> None:
    """A task whose name matches is a run, in a consumer of its own."""
    text = block("Huey")
    (tmp_path / "tasks.py").write_text(f"redis_url = {broker!r}\n{text}")
    programs.run("python", "-c", "import tasks; tasks.scrape_arxiv(3)", cwd=tmp_path)
    with programs.running("huey_consumer", "tasks.huey", cwd=tmp_path, PYTHONPATH=str(tmp_path)):
        poll_until(lambda: store.rows("1", "scraping_run"), what="the task's run")

    assert store.rows("scraper, outcome, items_processed", "scraping_run") == [("papers", "success", 3)]


def test_apscheduler(store: Store, run: Run) -> None:
    """A job whose id matches is a run, here at once instead of at night."""
    names = run("APScheduler", __name__="schedule")
    try:
        names["scheduler"].modify_job("nightly-papers", next_run_time=datetime.now(UTC))
        poll_until(lambda: platform_sdk.flush(1) and store.rows("1", "scraping_run"), what="its run")
    finally:
        names["scheduler"].shutdown()
        apscheduler.uninstall()

    assert store.rows("job_id, scraper, outcome, items_processed", "scraping_run") == [
        ("nightly-papers", "papers", "success", 3)
    ]


def test_manual_calls(store: Store, run: Run) -> None:
    """Each call is one row."""
    run("Manual calls")

    assert store.rows("error_type, severity, message, context->>'order'", "error") == [
        ("LoggedError", "low", "no paper left", None),
        ("Message", "medium", "no index today", None),
        ("ZeroDivisionError", "high", "division by zero", "4711"),
    ]
    assert store.rows("activity, user_id, module, feature, details->>'words'", "user_activity") == [
        ("search", "7", "library", "papers", "3")
    ]
    assert store.rows("name, kind, value, unit", "sample") == [("index_age", "gauge", 12.5, "minutes")]
    assert store.rows("api, status, reason, round(duration_seconds * 1000)", "api_call", "status = 200") == [
        ("arxiv", 200, None, 120)
    ]
    assert store.rows("api, status, reason", "api_call", "status = 429") == [("arxiv", 429, "rate_limited")]


def test_switch_on(store: Store, run: Run, external: str) -> None:
    """Calls of a library that is loaded are recorded."""
    try:
        run("Switch on what is installed")
        requests.get(f"{external}/api/query")
        assert platform_sdk.flush(PATIENCE_SECONDS)
    finally:
        integrations.forget()

    assert store.rows("endpoint, status", "api_call") == [("/api/query", 200)]


def test_doctor(programs: Programs, tmp_path: Path) -> None:
    """It finds nothing wrong here."""
    (tmp_path / "check.sh").write_text(block("Check the set-up", "sh"))
    printed = programs.run("sh", "check.sh", cwd=tmp_path)

    assert {line[:5].strip() for line in printed.splitlines()} == {"ok"}


def test_logging(store: Store, run: Run) -> None:
    """What was logged is an error with its context."""
    try:
        run("Logging")
    finally:
        logs.uninstall()

    columns = "error_type, context->>'message', context->>'basket', context->>'logger'"
    assert store.rows(columns, "error") == [("ZeroDivisionError", "order 4711 failed", "5", "shop")]


def test_activity_rules(store: Store, programs: Programs, tmp_path: Path, empty: None) -> None:
    """A request that a rule names is an activity, too; another method of its route is not."""
    (tmp_path / "main.py").write_text(block("Activity rules") + STARLETTE_APP)
    with programs.serving("uvicorn", "--host", "{host}", "--port", "{port}", "main:app", cwd=tmp_path) as url:
        answers = [requests.get(f"{url}/login"), requests.post(f"{url}/login"), requests.get(f"{url}/papers/7")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert store.rows("activity, module, feature, success", "user_activity") == [
        ("login", "accounts", None, True),
        ("read", "library", "papers", True),
    ]


def test_secrets(store: Store, run: Run) -> None:
    """Values of the names added are hidden like those of the usual ones."""
    run("Secrets")

    assert store.rows("context->>'matriculation', context->>'url'", "error") == [
        ("********", "https://********@example.org/?api_key=********")
    ]


def test_users_tags_and_contexts(store: Store, run: Run) -> None:
    """An error has them."""
    with scope.opened():
        run("Users, tags and contexts")
        platform_sdk.log_error("broken")
    assert platform_sdk.flush(60)

    context = {"tags": {"plan": "pro"}, "contexts": {"cart": {"items": 3, "total": 27.5}}}
    assert store.rows("user_id, context", "error") == [("7", context)]


def test_a_scope_for_each_item(store: Store, run: Run) -> None:
    """Each activity has the user of its own job."""
    run("A scope for each item of work")

    assert store.rows("activity, user_id", "user_activity") == [("export", "7"), ("export", "8")]


def test_ledger(store: Store, run: Run) -> None:
    """The ledger balances, and says what is stored."""
    platform_sdk.log_error("one")
    ledger = run("Under load, and with the database down")["ledger"]

    assert (ledger.stored, ledger.lost) == (1, 0)


def test_before_send(store: Store, run: Run) -> None:
    """The error is changed, and a request to the route is dropped."""
    run("Leave out or change events")
    emit.request_finished("/ping", "GET", 200, 0.1)
    assert platform_sdk.flush(PATIENCE_SECONDS)

    assert store.rows("message, user_id, context->>'region'", "error") == [("no paper left", None, "eu")]
    assert platform_sdk.stats().dropped == {"before_send": 1}


def test_reasons_are_explained() -> None:
    """Every reason for a drop is in the table, and no other."""
    section = document.DOCUMENT.read_text().partition("| dropped because")[2].partition("\n\n")[0]
    explained = [line.split("|")[1].strip() for line in section.splitlines()[2:]]

    assert sorted(explained) == sorted(intake.REASONS)


def test_options_are_those_there_are() -> None:
    """The table has each option with its default."""
    defaults = {
        option.name: "required" if option.default is option.default_factory is MISSING else option.default
        for option in options.all_options()
    }
    special = {
        "spool_folder": "a folder below the temporary folder",
        "excluded_paths": ", ".join(options.LEFT_OUT),
        **dict.fromkeys(("activity_rules", "prices", "proxy_providers"), "{}"),
    }

    assert document.options_table() == [(name, special.get(name, str(value))) for name, value in defaults.items()]


def test_coming_from_scitex(store: Store, run: Run, external: str) -> None:
    """With only an import changed its calls are recorded, and its summary has its fields."""
    url, params = f"{external}/graph/v1/paper/search", {"query": "cells"}
    user = SimpleNamespace(pk=7)
    with reading(store, f"{store.role}_reader") as dsn:
        assert platform_sdk.init(read_dsn=dsn)
        names = run("SciTeX Cloud's calls", requests=requests, endpoint_url=url, query_params=params, user=user)
        health = names["get_system_health_summary"]()

    assert store.rows("api, outcome, query->>'query'", "api_call") == [("semantic_scholar", "success", "cells")]
    assert health["health_status"] == "unknown"  # one call is too few to judge by
    assert (health["error_count"], health["avg_response_time"], health["api_success_rate"]) == (1, 0, 100.0)
    assert store.rows("severity, error_type, message, user_id", "error") == [("high", "CompileError", "page 3", "7")]


def test_coming_from_stratlogic(store: Store, run: Run) -> None:
    """With only an import changed its calls are recorded, and what it asks is answered."""
    names = run("StratLogic's calls", db=object(), minio_client=object())
    with reading(store, f"{store.role}_reader") as dsn:
        assert platform_sdk.init(read_dsn=dsn)
        asyncio.run(names["finished"]("j1"))
        assert platform_sdk.flush(PATIENCE_SECONDS)
        asked = asyncio.run(names["MonitoringService"]().get_scraping_analytics(days=7))

    assert (asked["total_jobs"], asked["success_rate"]) == (1, 100.0)

    assert store.rows("job_id, scraper, outcome, duration_seconds, items_processed", "scraping_run") == [
        ("j1", "web", "success", 1.5, 10)
    ]
    assert store.rows("activity, user_id", "user_activity") == [("export", "7")]
    assert store.rows("name, unit, value", "sample") == [("index_age", "minutes", 12.5)]
    assert store.rows("severity, error_type, message", "error") == [("high", "No proxies left", "0 of 20 answer")]


def test_every_block_is_tested() -> None:
    """No section with a block is left out above."""
    tests = Path(__file__).read_text()

    assert [heading for heading in BLOCKS if f'"{heading}"' not in tests] == []


def test_readme_has_blocks_of_the_document() -> None:
    """The README's blocks about the SDK are those of the document, which are tested."""
    tested = {each.text for below in BLOCKS.values() for each in below}
    readme = document.blocks(document.DOCUMENT.parents[1] / "README.md")

    assert {each.text for below in readme.values() for each in below if each.language == "python"} <= tested


def test_series_exist() -> None:
    """Every series that the document names is in the reference."""
    reference = document.DOCUMENT.with_name("metrics.md").read_text()
    named = set(re.findall(r"platform_sdk_\w+", document.DOCUMENT.read_text()))

    assert named
    assert {name for name in named if name not in reference} == set()


DJANGO_SETTINGS = """
SECRET_KEY = "a-key-of-tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = []
MIDDLEWARE = []
"""

DJANGO_URLS = """
from django.http import HttpResponse
from django.urls import path


def paper(request, pk):
    return HttpResponse("a paper")


def fail(request, pk):
    raise LookupError("no such paper")


urlpatterns = [path("papers/<int:pk>/", paper), path("papers/<int:pk>/fail", fail)]
"""

STARLETTE_APP = """
from platform_sdk.web.asgi import PlatformMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def answer(request):
    return PlainTextResponse("ok")


routes = [Route("/login", answer, methods=["GET", "POST"]), Route("/papers/{paper_id}", answer)]
app = PlatformMiddleware(Starlette(routes=routes))
"""

SPIDER = """
import scrapy


class Papers(scrapy.Spider):
    name = "papers"

    def __init__(self, url, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [url]

    def parse(self, response):
        yield {"title": "a paper"}
"""

RQ_JOBS = """
from platform_sdk.jobs.scraping import current_job


def scrape(pages):
    current_job().item(pages)
"""
