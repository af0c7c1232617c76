"""Which template a request of Starlette or FastAPI is counted under."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from platform_sdk.web.asgi import PlatformMiddleware
from tests.sdk_web.recording import Call, Recorded


async def page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def other_page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ok")


class Endpoint:
    """An application as an endpoint."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("ok")(scope, receive, send)


async def socket(websocket: Any) -> None:
    await websocket.accept()
    await websocket.close()


def starlette(folder: Path) -> Starlette:
    (folder / "a.css").write_text("a")
    users = [Route("/", page), Route("/{name}", page), Route("/{name}/posts/{post:int}", other_page)]
    again = Router(routes=[Route("/x/{id}", page)])
    app = Starlette(
        routes=[
            Route("/", page),
            Route("/users/{id:int}", page, methods=["GET", "POST"]),
            Route("/files/{path:path}", page),
            Route("/class", Endpoint()),
            Mount("/api", routes=[Mount("/v1", routes=users), Route("/status", other_page)]),
            Mount("/tenants/{tenant}", routes=users),
            Mount("/first", app=again),
            Mount("/second/{id}", app=again),
            Mount("/sub", app=Starlette(routes=[Route("/inner/{id}", page)])),
            Mount("/assets", app=StaticFiles(directory=folder)),
            Host("{tenant}.example.org", app=Router(routes=[Route("/hosted/{id}", page)])),
            WebSocketRoute("/ws/{room}", socket),
            Mount("/deep", routes=[WebSocketRoute("/ws/{room}", socket)]),
        ]
    )
    app.add_middleware(PlatformMiddleware)
    return app


@pytest.mark.parametrize("outside", [False, True], ids=["add_middleware", "wrapped"])
@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/users/5", "/users/{id}", 200),
        ("/users/five", "(unmatched)", 404),
        ("/users/5/", "(unmatched)", 307),
        ("/files/a/b/c.txt", "/files/{path}", 200),
        ("/class", "/class", 200),
        ("/api/v1/ann", "/api/v1/{name}", 200),
        ("/api/v1/", "/api/v1/", 200),
        ("/api/v1/ann/posts/7", "/api/v1/{name}/posts/{post}", 200),
        ("/api/v1/a/b/c", "(unmatched)", 404),
        ("/api/status", "/api/status", 200),
        ("/api/nothing", "(unmatched)", 404),
        ("/tenants/acme/ann", "/tenants/{tenant}/{name}", 200),
        ("/tenants/acme/ann/posts/7", "/tenants/{tenant}/{name}/posts/{post}", 200),
        ("/first/x/1", "/first/x/{id}", 200),
        ("/second/2/x/1", "/second/{id}/x/{id}", 200),
        ("/sub/inner/1", "/sub/inner/{id}", 200),
        ("/sub/other", "(unmatched)", 404),
        ("/assets/a.css", "/assets/{path}", 200),
        ("/assets/b.css", "/assets/{path}", 404),
        ("/scan.php", "(unmatched)", 404),
    ],
)
def test_starlette(recorded: Recorded, tmp_path: Path, path: str, route: str, status: int, outside: bool) -> None:
    """The template of the whole path, mounts included, whether the middleware is inside or outside."""
    app: Any = starlette(tmp_path)
    if outside:
        app.user_middleware.clear()
        app = PlatformMiddleware(app)
    Call(app, path).run()

    assert (recorded.request["route"], recorded.request["status"]) == (route, status)


def test_starlette_method_not_allowed(recorded: Recorded, tmp_path: Path) -> None:
    """A 405 is the route's."""
    Call(starlette(tmp_path), "/users/5", "DELETE").run()

    assert (recorded.request["route"], recorded.request["status"]) == ("/users/{id}", 405)


def test_starlette_host(recorded: Recorded, tmp_path: Path) -> None:
    """Below a Host the template is the path's."""
    Call(starlette(tmp_path), "/hosted/1", headers=[("host", "acme.example.org")]).run()

    assert recorded.request["route"] == "/hosted/{id}"


@pytest.mark.parametrize(("path", "route"), [("/ws/blue", "/ws/{room}"), ("/deep/ws/blue", "/deep/ws/{room}")])
def test_starlette_websocket(recorded: Recorded, tmp_path: Path, path: str, route: str) -> None:
    """Websockets have templates too."""
    Call(starlette(tmp_path), path, type="websocket", incoming=[{"type": "websocket.connect"}]).run()

    assert recorded.request["route"] == route


@pytest.mark.parametrize(
    ("path", "route"), [("/proxied/users/5", "/users/{id}"), ("/proxied/api/v1/a", "/api/v1/{name}")]
)
def test_root_path_is_no_part_of_it(recorded: Recorded, tmp_path: Path, path: str, route: str) -> None:
    """What a proxy has cut off and the server put back is the deployment's, not the application's."""
    Call(starlette(tmp_path), path, scope={"root_path": "/proxied"}).run()

    assert recorded.request["route"] == route


def test_middleware_of_a_mounted_application_only(recorded: Recorded) -> None:
    """The template is the whole path's even where only an inner application is recorded."""
    inner = Starlette(routes=[Route("/x/{id}", page)])
    inner.add_middleware(PlatformMiddleware)
    app = Starlette(routes=[Mount("/in/{a}", app=inner), Route("/out", page)])
    Call(app, "/in/1/x/2").run()
    Call(app, "/out").run()

    assert [request["route"] for request in recorded.requests] == ["/in/{a}/x/{id}"]


def test_middleware_inside_and_outside_counts_once(recorded: Recorded) -> None:
    """A request that passes two of these is one request."""
    inner = Starlette(routes=[Route("/x/{id}", page)])
    inner.add_middleware(PlatformMiddleware)
    app = Starlette(routes=[Mount("/in", app=inner)])
    app.add_middleware(PlatformMiddleware)
    Call(app, "/in/x/2").run()

    assert recorded.request["route"] == "/in/x/{id}"


def test_routes_added_later(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted route that was added after the first request is found when the tree is looked at again."""
    monkeypatch.setattr("platform_sdk.web.asgi_routes._AGAIN_AFTER_SECONDS", 0.0)
    inner = Router(routes=[Route("/x", page)])
    app = PlatformMiddleware(Starlette(routes=[Mount("/in", app=inner)]))
    Call(app, "/in/x").run()
    inner.routes.append(Route("/y", other_page))
    Call(app, "/in/y").run()

    assert [request["route"] for request in recorded.requests] == ["/in/x", "/in/y"]


def fastapi(folder: Path) -> FastAPI:
    (folder / "a.css").write_text("a")
    router, inner = APIRouter(prefix="/items"), APIRouter()

    @router.get("/{item_id}")
    async def item(item_id: int) -> int:
        return item_id

    @inner.get("/deep/{a}/{b}")
    async def deep(a: str, b: str) -> str:
        return a + b

    async def ws(websocket: Any) -> None:
        await socket(websocket)

    inner.add_api_websocket_route("/ws/{room}", ws)
    router.include_router(inner, prefix="/inner")
    app, sub = FastAPI(), FastAPI()

    @app.get("/")
    async def root() -> str:
        return "root"

    @sub.get("/things/{thing}")
    async def thing(thing: str) -> str:
        return thing

    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    sub.include_router(router, prefix="/v3/{tenant}")
    app.mount("/sub", sub)
    app.mount("/tenants/{tenant}", sub)
    app.mount("/assets", StaticFiles(directory=folder))
    app.add_route("/plain/{x}", page)
    app.add_middleware(PlatformMiddleware)
    return app


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/v1/items/5", "/v1/items/{item_id}", 200),
        ("/v2/items/5", "/v2/items/{item_id}", 200),
        ("/v1/items/five", "/v1/items/{item_id}", 422),
        ("/v1/items/inner/deep/x/y", "/v1/items/inner/deep/{a}/{b}", 200),
        ("/v2/items/inner/deep/x/y", "/v2/items/inner/deep/{a}/{b}", 200),
        ("/v1/other", "(unmatched)", 404),
        ("/sub/things/x", "/sub/things/{thing}", 200),
        ("/sub/v3/acme/items/1", "/sub/v3/{tenant}/items/{item_id}", 200),
        ("/tenants/acme/things/x", "/tenants/{tenant}/things/{thing}", 200),
        ("/sub/nothing", "(unmatched)", 404),
        ("/assets/a.css", "/assets/{path}", 200),
        ("/plain/x", "/plain/{x}", 200),
        ("/openapi.json", "/openapi.json", 200),
        ("/docs", "/docs", 200),
    ],
)
def test_fastapi(recorded: Recorded, tmp_path: Path, path: str, route: str, status: int) -> None:
    """Prefixes of included routers, nested and included twice, and mounts are in the template."""
    Call(fastapi(tmp_path), path).run()

    assert (recorded.request["route"], recorded.request["status"]) == (route, status)


def test_fastapi_websocket_of_an_included_router(recorded: Recorded, tmp_path: Path) -> None:
    """A websocket's prefix is in its template."""
    Call(fastapi(tmp_path), "/v2/items/inner/ws/b", type="websocket", incoming=[{"type": "websocket.connect"}]).run()

    assert recorded.request["route"] == "/v2/items/inner/ws/{room}"


@pytest.mark.skipif(not hasattr(FastAPI, "frontend"), reason="newer than this FastAPI")
@pytest.mark.parametrize(("path", "status"), [("/app/index.html", 200), ("/app/x/y.js", 404)])
def test_fastapi_front_end(recorded: Recorded, tmp_path: Path, path: str, status: int) -> None:
    """Files that FastAPI serves without a route share one template."""
    (tmp_path / "index.html").write_text("hi")
    app = FastAPI()
    app.frontend("/app", directory=tmp_path, fallback=None)  # type: ignore[attr-defined]  # see above
    app.add_middleware(PlatformMiddleware)
    Call(app, path).run()

    assert (recorded.request["route"], recorded.request["status"]) == ("/app/{path}", status)


def test_hook_of_a_plain_application(recorded: Recorded) -> None:
    """An application without a router may give its templates by a function."""
    app = PlatformMiddleware(Endpoint(), route=lambda scope: "/told")
    Call(app, "/whatever").run()

    assert recorded.request["route"] == "/told"


@pytest.mark.parametrize("hook", [lambda scope: None, lambda scope: 1 / 0])
def test_hook_that_fails_or_does_not_know(recorded: Recorded, hook: Any) -> None:
    """Neither harms the request."""
    call = Call(PlatformMiddleware(Endpoint(), route=hook), "/whatever").run()

    assert (call.status, recorded.request["route"]) == (200, "(unmatched)")


def test_plain_application(recorded: Recorded) -> None:
    """Without a router or a hook nothing is matched; the raw path is never recorded."""
    Call(PlatformMiddleware(Endpoint()), "/secret/4711").run()

    assert recorded.request["route"] == "(unmatched)"
