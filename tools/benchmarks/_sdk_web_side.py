"""One side of tools/benchmarks/sdk_web.py: an application with one middleware, or none, called directly.

Started as `python -m tools.benchmarks._sdk_web_side FRAMEWORK SIDE DSN`. Answers each line on standard input, a number
of milliseconds to work for, by a line with the microseconds that a request took: of this thread's CPU without the
middleware and with it, and by the clock without and with it. Sentry patches all applications of its process: there
the figures without it mean nothing.
"""

import asyncio
import gc
import io
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

HEADERS = [
    ("host", "shop.example.org"), ("accept", "*/*"), ("accept-encoding", "gzip, br"), ("accept-language", "en"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"),
]  # fmt: skip
SLICES = 40
PLACEHOLDER_TOKEN = "apt_" + "0" * 24
INSERT = (
    "INSERT INTO system_metric (metric_type, endpoint, value, status_code, user_id, ip, user_agent, at)"
    " VALUES ('response_time', %s, %s, %s, %s, %s, %s, now())"
)
INSERT_ACTIVITY = """
INSERT INTO user_activity (activity, user_id, session_id, ip, user_agent, at)
VALUES ('page_view', %s, %s, %s, %s, now())"""
INSERT_ERROR = "INSERT INTO error_log (error_type, message, stack_trace, at) VALUES (%s, %s, %s, now())"


def main() -> None:
    framework, side, dsn = sys.argv[1:4]
    if side.startswith("sdk"):
        start_sdk(side, dsn)
    bare, run = {"starlette": starlette, "django": django, "exceptions": exceptions}[framework](side, dsn)
    speed = {each: statistics.median(each(50)[1] for _ in range(20)) for each in (bare, run)}
    print("ready", flush=True)
    for line in sys.stdin:
        empty(side)
        gc.collect()
        took: dict[Run, list[tuple[float, float]]] = {bare: [], run: []}
        for number in range(SLICES):  # thin ones, as the machine's speed changes from moment to moment
            for each in (bare, run) if number % 2 else (run, bare):
                took[each].append(each(max(int(int(line) / SLICES * 1000 / speed[each]), 4)))
        cpu, clock = ([undisturbed(one[i] for one in took[each]) for each in (bare, run)] for i in (0, 1))
        speed = dict(zip((bare, run), clock, strict=True))
        print(*cpu, *clock, flush=True)
    os._exit(0)  # peers would try to reach their servers now


def undisturbed(slices: Iterable[float]) -> float:
    """Return the lower quartile: what else the machine does only ever adds to a slice, of whichever side."""
    return statistics.quantiles(slices)[0]


class Clock:
    """Take the time, of this thread and by the clock."""

    def __init__(self) -> None:
        self.began = time.thread_time(), time.perf_counter()

    def microseconds(self, times: int) -> tuple[float, float]:
        cpu, clock = time.thread_time() - self.began[0], time.perf_counter() - self.began[1]
        return cpu / times * 1e6, clock / times * 1e6


def start_sdk(side: str, dsn: str) -> None:
    import platform_sdk
    from platform_sdk import client

    platform_sdk.init(
        dsn=dsn, app="bench", spool_folder="", plain_events=10**6, urgent_events=10**6, buffer_bytes=2**30
    )
    if side == "sdk, no writer":
        client.current.running = True  # type: ignore[union-attr]


def empty(side: str) -> None:
    """Make room, and time, before a measurement."""
    if side == "sdk, no writer":
        from platform_sdk import client

        client.current.plain.events.clear()  # type: ignore[union-attr]
        client.current.urgent.events.clear()  # type: ignore[union-attr]
        client.current.waiting_bytes = 0  # type: ignore[union-attr]
    if side == "sdk":
        import platform_sdk

        platform_sdk.flush(10)


def null_providers() -> None:
    """Let OpenTelemetry send nothing."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nobody(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nobody()))
    trace.set_tracer_provider(provider)


def start_sentry(**options: Any) -> None:
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Nobody(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            pass

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Nobody, send_default_pii=True, **options)


APITALLY: dict[str, Any] = {"write_token": PLACEHOLDER_TOKEN, "otlp_endpoint": "http://127.0.0.1:9"}


Run = Callable[[int], tuple[float, float]]
"""Serve a number of requests and return the microseconds that each took: of this thread's CPU, and by the clock."""


def exceptions(side: str, dsn: str) -> tuple[Run, Run]:
    """Return what raises and catches exceptions 30 frames down, and what records each of them, too."""
    if side == "sentry":
        start_sentry()
        from sentry_sdk import capture_exception as record
    elif side == "opentelemetry":
        null_providers()
        from opentelemetry import trace

        tracer = trace.get_tracer("bench")

        def record(error: BaseException) -> None:
            with tracer.start_as_current_span("work") as span:
                span.record_exception(error)
    elif side == "synchronous INSERT":
        import psycopg

        record = partial(_insert_error, psycopg.connect(dsn, autocommit=True))
    else:
        from platform_sdk.emit import exception as record

    def descend(frames: int) -> None:
        if frames == 0:
            raise ValueError("out of range")
        descend(frames - 1)

    def repeat(times: int, record: Callable[[BaseException], object]) -> tuple[float, float]:
        clock = Clock()
        for _ in range(times):
            try:
                descend(29)
            except ValueError as error:
                record(error)
        return clock.microseconds(times)

    return partial(repeat, record=str), partial(repeat, record=record)


def _insert_error(connection: Any, error: BaseException) -> None:
    connection.execute(INSERT_ERROR, [type(error).__name__, str(error), "".join(traceback.format_exception(error))])


def starlette(side: str, dsn: str) -> tuple[Run, Run]:
    """Return what runs requests against a Starlette application, without the middleware and with it."""
    if side == "sentry":
        start_sentry()
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    bare, app = (Starlette(routes=[Route("/articles/{id:int}", page)]) for _ in range(2))
    if side.startswith("sdk"):
        from platform_sdk.web.asgi import PlatformMiddleware

        app.add_middleware(PlatformMiddleware)
    elif side == "starlette_exporter":
        from starlette_exporter import PrometheusMiddleware

        app.add_middleware(PrometheusMiddleware)
    elif side == "opentelemetry":
        null_providers()
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor

        StarletteInstrumentor.instrument_app(app)
    elif side == "apitally":
        import apitally.starlette

        apitally.starlette.init(app, **APITALLY)
    elif side == "synchronous INSERT":
        app.add_middleware(_InsertingAsgi, dsn=dsn)
    headers = [(name.encode(), value.encode()) for name, value in HEADERS]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    def scope() -> dict[str, Any]:
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": "/articles/5", "raw_path": b"/articles/5", "query_string": b"", "root_path": "",
            "client": ("192.0.2.1", 4711), "server": ("127.0.0.1", 80), "headers": headers, "state": {},
        }  # fmt: skip

    async def serve(app: Any, times: int) -> tuple[float, float]:
        clock = Clock()
        for _ in range(times):
            await app(scope(), receive, send)
        return clock.microseconds(times)

    loop = asyncio.new_event_loop()
    return tuple(partial(lambda one, times: loop.run_until_complete(serve(one, times)), one) for one in (bare, app))


class _InsertingAsgi:
    """Store each request before it is answered to the end."""

    def __init__(self, app: Any, dsn: str) -> None:
        import psycopg

        self.app = app
        self.connection = psycopg.connect(dsn, autocommit=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        began, status = time.perf_counter(), 0

        async def sending(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self.app(scope, receive, sending)
        values = (scope["path"], time.perf_counter() - began, status, None, "192.0.2.1", HEADERS[-1][1])
        self.connection.execute(INSERT, values)


MIDDLEWARE = {
    "sdk": ["platform_sdk.web.django.PlatformMiddleware"],
    "sdk, no writer": ["platform_sdk.web.django.PlatformMiddleware"],
    "django-prometheus": ["django_prometheus.middleware.PrometheusBeforeMiddleware"],
    "synchronous INSERT": [f"{__name__}.InsertingDjango"],
}


def django(side: str, dsn: str) -> tuple[Run, Run]:
    """Return what runs requests against a Django project, with a session and a user whom the view asks for."""
    if side == "sentry":
        start_sentry()
    import django as package
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def page(request: Any, pk: int) -> HttpResponse:
        return HttpResponse("hello" if request.user.is_authenticated else "who?")

    urls = type("urls", (), {"urlpatterns": [path("articles/<int:pk>/", page)]})
    after = ["django_prometheus.middleware.PrometheusAfterMiddleware"] if side == "django-prometheus" else []
    settings.configure(
        SECRET_KEY="benchmark", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, DSN=dsn, LOGGING_CONFIG=None,
        # In memory: what the database takes to find session and user is not the middleware's.
        SESSION_ENGINE="django.contrib.sessions.backends.cache", AUTHENTICATION_BACKENDS=[f"{__name__}.Users"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
    )  # fmt: skip
    package.setup()
    from django.core.handlers.wsgi import WSGIHandler

    bare = WSGIHandler()
    settings.MIDDLEWARE = [*MIDDLEWARE.get(side, []), *settings.MIDDLEWARE, *after]
    if side == "opentelemetry":
        null_providers()
        from opentelemetry.instrumentation.django import DjangoInstrumentor

        DjangoInstrumentor().instrument()
    elif side == "apitally":
        import apitally.django

        apitally.django.init(**APITALLY)
    cookie = _sign_in()

    def serve(handler: Any, times: int) -> tuple[float, float]:
        clock = Clock()
        for _ in range(times):
            environ = {
                "REQUEST_METHOD": "GET", "PATH_INFO": "/articles/5/", "SCRIPT_NAME": "", "QUERY_STRING": "",
                "SERVER_NAME": "testserver", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
                "HTTP_COOKIE": cookie,
                **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS},
            }  # fmt: skip
            response = handler(environ, lambda *_: None)
            assert b"".join(response) == b"hello"
            response.close()
        return clock.microseconds(times)

    return tuple(partial(serve, handler) for handler in (bare, WSGIHandler()))


class Users:
    """Know one user, without a database."""

    user: Any = None

    def get_user(self, user_id: object) -> Any:
        if Users.user is None:
            from django.contrib.auth.models import User

            Users.user = User(pk=1, username="ann", is_staff=True, password="!")
        return Users.user


def _sign_in() -> str:
    from django.conf import settings
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session.update({
        "_auth_user_id": "1", "_auth_user_backend": f"{__name__}.Users",
        "_auth_user_hash": Users().get_user(1).get_session_auth_hash(),
    })  # fmt: skip
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


class InsertingDjango:
    """Store each request, and what the user did, before it is answered, as the systems that this SDK is for did."""

    def __init__(self, get_response: Any) -> None:
        import psycopg
        from django.conf import settings

        self.get_response = get_response
        self.connection = psycopg.connect(settings.DSN, autocommit=True)

    def __call__(self, request: Any) -> Any:
        began = time.perf_counter()
        response = self.get_response(request)
        user = request.user.pk if request.user.is_authenticated else None
        ip, agent = request.META.get("REMOTE_ADDR"), request.META.get("HTTP_USER_AGENT", "")
        values = (request.path, time.perf_counter() - began, response.status_code, user, ip, agent)
        self.connection.execute(INSERT, values)
        if user is not None:
            self.connection.execute(INSERT_ACTIVITY, (user, request.session.session_key, ip, agent))
        return response


if __name__ == "__main__":
    # Django is to find the classes above under their real name.
    from tools.benchmarks import _sdk_web_side

    _sdk_web_side.main()
