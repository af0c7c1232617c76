"""Which trace a request, a call and an error belong to."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import AsyncClient, Client
from flask import Flask
from opentelemetry import trace as opentelemetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from starlette.requests import Request
from starlette.responses import StreamingResponse

import platform_sdk
from platform_sdk import emit, trace
from platform_sdk.web.asgi import PlatformMiddleware
from platform_sdk.web.wsgi import PlatformMiddleware as WsgiMiddleware
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_asgi import serving
from tests.sdk_web.test_wsgi import call

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{ID}-{SPAN}-01"
ALL = {("http_request", ID, True), ("api_call", ID, True), ("error", ID, True)}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER, (ID, True)),
        (f"00-{ID}-{SPAN}-00", (ID, False)),
        (f"00-{ID}-{SPAN}-02", (ID, False)),
        (f"00-{ID}-{SPAN}-ff", (ID, True)),
        (f"01-{ID}-{SPAN}-01", (ID, True)),
        (f"cc-{ID}-{SPAN}-01-what-comes", (ID, True)),
    ],
)
def test_valid_headers(header: str, expected: trace.Trace) -> None:
    """Trace and whether it is sampled; what a later version adds is left alone."""
    assert trace.of_header(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        ID,
        f"ff-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        HEADER.upper(),
        f"0A-{ID}-{SPAN}-01",
        f"00-{ID.upper()}-{SPAN}-01",
        f"00-{ID}-{SPAN.upper()}-01",
        f"00-{ID}-{SPAN}-0A",
        f"00-{ID}-{SPAN}-01-more",
        f"00-{ID}-{SPAN}-01-",
        f"00-{ID}-{SPAN}-011",
        f"00-{ID}-{SPAN}-1",
        f"01-{ID}-{SPAN}-01more",
        f"01-{ID}-{SPAN}-01-{'x' * 10_000}",
        f"00-{ID}0-{SPAN}-01",
        f"00-{ID[1:]}-{SPAN}-01",
        f"00-{ID}-{SPAN[1:]}-01",
        f"00_{ID}_{SPAN}_01",
        f"{HEADER},{HEADER}",
        f"{HEADER}, {HEADER}",
        f" {HEADER}",
        f"{HEADER}\n",
        f"00-{ID[:-1]}g-{SPAN}-01",
        "00-" + "\uff11" * 32 + f"-{SPAN}-01",
        "\x00" * 55,
    ],
)
def test_invalid_headers(header: str) -> None:
    """What the specification does not allow names no trace at all."""
    assert trace.of_header(header) == trace.NO_TRACE


def work() -> None:
    emit.api_call("arxiv", "/api", "success", 0.1)
    platform_sdk.log_error("no paper left")


async def page(request: Request) -> StreamingResponse:
    work()
    return StreamingResponse(iter([b"a", b"b"]))


async def broken(request: Request) -> None:
    work()
    raise ValueError


def test_header_over_asgi(recorded: Recorded) -> None:
    """A request, a call and an error while it is served belong to the trace of its header."""
    Call(serving(page), "/x/1", headers=[("traceparent", HEADER), ("user-agent", "curl")]).run()

    assert set(recorded.traces) == ALL
    assert recorded.request["user_agent"] == "curl"


def test_exception_over_asgi(recorded: Recorded) -> None:
    """An exception that escapes belongs to its request's trace."""
    Call(serving(broken), "/x/1", headers=[("traceparent", HEADER)]).run()

    assert [one for one in recorded.traces if one[0] == "error"] == [("error", ID, True)] * 2


@pytest.mark.parametrize("headers", [[], ["nonsense"], [HEADER, HEADER], ["", HEADER]])
def test_no_trace_over_asgi(recorded: Recorded, headers: list[str]) -> None:
    """None where the header is missing, invalid or there more than once."""
    Call(serving(page), "/x/1", headers=[("traceparent", header) for header in headers]).run()

    assert {trace_id for _, trace_id, _ in recorded.traces} == {None}


def flask_app() -> Flask:
    app = Flask("app")

    @app.route("/")
    def root() -> str:
        work()
        return "root"

    @app.route("/broken")
    def broken() -> str:
        work()
        raise ValueError

    app.wsgi_app = WsgiMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's document says
    return app


@pytest.mark.parametrize("path", ["/", "/broken"])
def test_header_over_wsgi(recorded: Recorded, path: str) -> None:
    """As over ASGI, exceptions that Flask answers among them."""
    call(flask_app(), path, HTTP_TRACEPARENT=HEADER)

    assert set(recorded.traces) == ALL


def test_stream_over_wsgi(recorded: Recorded) -> None:
    """What is done while a stream is sent belongs to it."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])

        def parts() -> Iterator[bytes]:
            work()
            yield b"x"

        return parts()

    call(WsgiMiddleware(app), HTTP_TRACEPARENT=HEADER)

    assert set(recorded.traces) == ALL


@pytest.mark.parametrize("path", ["/traced/", "/traced/broken/"])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_header_in_django(recorded: Recorded, interface: str, path: str) -> None:
    """By WSGI and by ASGI, exceptions that Django answers among them."""
    if interface == "wsgi":
        Client(raise_request_exception=False).get(path, headers={"traceparent": HEADER})
    else:
        client = AsyncClient(raise_request_exception=False)
        asyncio.run(client.get(path, headers={"traceparent": HEADER}))  # type: ignore[arg-type]  # untyped

    assert set(recorded.traces) == ALL


@pytest.fixture
def span() -> Callable[..., Any]:
    """Return a context manager of a span, sampled or not, that yields its trace id."""

    @contextmanager
    def begin(sampler: Any = ALWAYS_ON) -> Iterator[str]:
        tracer = TracerProvider(sampler=sampler).get_tracer("test")
        with tracer.start_as_current_span("work") as current:
            yield f"{current.get_span_context().trace_id:032x}"

    return begin


def test_span_goes_before_the_header(recorded: Recorded, span: Callable[..., Any]) -> None:
    """OpenTelemetry decides which trace it exports, also where it began one of its own."""
    ids = []

    async def traced(request: Request) -> StreamingResponse:
        return await page(request)

    app = serving(traced)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        with span() as trace_id:
            ids.append(trace_id)
            await app(scope, receive, send)

    Call(outer, "/x/1", headers=[("traceparent", HEADER)]).run()

    assert ids != [ID]
    assert {(trace_id, sampled) for _, trace_id, sampled in recorded.traces} == {(ids[0], True)}


def test_span_within_the_middleware(recorded: Recorded, span: Callable[..., Any]) -> None:
    """The span that is current when the response is sent is the request's."""
    ids = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        with span() as trace_id:
            ids.append(trace_id)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    Call(PlatformMiddleware(inner)).run()

    assert recorded.traces == [("http_request", ids[0], True)]


def test_span_within_wsgi(recorded: Recorded, span: Callable[..., Any]) -> None:
    """Where the body is a stream, too, which is closed after the span has ended."""
    ids = []

    def inner(environ: Any, start_response: Any) -> Iterator[bytes]:
        with span() as trace_id:
            ids.append(trace_id)
            start_response("200 OK", [])
            return iter([b"x"])

    call(WsgiMiddleware(inner))

    assert recorded.traces == [("http_request", ids[0], True)]


def test_span_that_is_not_sampled(recorded: Recorded, span: Callable[..., Any]) -> None:
    """Its trace is known, and that nobody keeps it."""
    with span(ALWAYS_OFF) as trace_id:
        work()

    assert set(recorded.traces) == {("api_call", trace_id, False), ("error", trace_id, False)}


def test_without_a_span(recorded: Recorded) -> None:
    """OpenTelemetry is loaded here, and no span is current."""
    assert not opentelemetry.get_current_span().get_span_context().is_valid
    work()

    assert {trace_id for _, trace_id, _ in recorded.traces} == {None}


def test_a_broken_opentelemetry(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another version, or that is only half imported, costs the trace and no event."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", sys)
    Call(serving(page), "/x/1", headers=[("traceparent", HEADER)]).run()

    assert set(recorded.traces) == ALL


def test_opentelemetry_is_never_imported() -> None:
    """It is only used where the application has loaded it."""
    code = """
import sys
import platform_sdk
from platform_sdk import emit, request_context
platform_sdk.init(dsn="postgresql://127.0.0.1:1/none", app="shop", spool_folder="")
emit.api_call("arxiv", "/", "success", 0.1)
assert request_context.current_trace() == (None, None)
sys.exit(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
