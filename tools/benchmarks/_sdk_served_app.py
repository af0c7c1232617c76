"""The application of tools/benchmarks/sdk_served.py, with the middleware that the variable SIDE names, or none."""

import json
import os
from collections.abc import Callable
from typing import Any

from tools.benchmarks._sdk_web_side import null_providers, start_sentry

App = Callable[[Any, Any, Any], Any]
ANSWER = {"id": 5, "title": "An article", "tags": ["a", "b"]}


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request with JSON."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    body = json.dumps(ANSWER).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def sdk(app: App, **options: Any) -> App:
    import platform_sdk
    from platform_sdk.web.asgi import PlatformMiddleware

    platform_sdk.init(app=os.environ["SIDE"], spool_folder="", **options)
    return PlatformMiddleware(app, route=lambda scope: "/articles/{id}")


def aggregating(app: App) -> App:
    return sdk(app, sample_above_per_second=0)


def starlette_exporter(app: App) -> App:
    from starlette_exporter import PrometheusMiddleware

    return PrometheusMiddleware(app)  # type: ignore[no-any-return]


def sentry(app: App) -> App:
    start_sentry(traces_sample_rate=1.0)
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    return SentryAsgiMiddleware(app)  # type: ignore[no-any-return]


def opentelemetry(app: App) -> App:
    null_providers()
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(app)  # type: ignore[no-any-return]


SIDES: dict[str, Callable[[App], App]] = {
    "sdk": sdk,
    "sdk, aggregating": aggregating,
    "starlette_exporter": starlette_exporter,
    "sentry": sentry,
    "opentelemetry": opentelemetry,
}

app: App = SIDES.get(os.environ.get("SIDE", ""), lambda app: app)(plain)
