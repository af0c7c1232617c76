"""The template of the route that served an ASGI request, in all versions of Starlette and FastAPI.

What a finished scope holds (read in Starlette 0.27 to 1.10 and FastAPI 0.100 to 0.165):

- `route`: FastAPI always sets it, to the innermost route; Starlette since 0.5x, and to a Mount or Host too.
- `endpoint`: the function, class or mounted application, all of them set it.
- `app_root_path`: only where a Mount was passed through; `root_path` is then raw, not a template.
- `fastapi`: where a router is included (not copied, since 0.14x) the route lacks the prefix, and the
  `effective_route_context` in here has it.

So a route that is not mounted is read from the scope; all others are looked up, by endpoint, in an index of the tree.
"""

import re
import time
from collections.abc import Iterator
from typing import Any

from platform_sdk.web.record import UNMATCHED

Entry = tuple[str, re.Pattern[str] | None]
"""A template, and the pattern of the whole paths it matches."""

_AGAIN_AFTER_SECONDS = 5.0
_DEEPEST = 8


class Templates:
    """Templates by scope; the routes below each outermost router are remembered."""

    def __init__(self) -> None:
        self._indexes: dict[int, _Index] = {}

    def of(self, scope: dict[str, Any]) -> str:
        """Return the template, "(unmatched)" where no route was found."""
        if "app_root_path" not in scope:
            route = scope.get("route")
            if "fastapi" in scope:
                route = _included(scope["fastapi"], route)
            template = getattr(route, "path_format", None)
            if template:
                return template  # type: ignore[no-any-return]  # a str
        return self._looked_up(scope)

    def _looked_up(self, scope: dict[str, Any]) -> str:
        endpoint, router = scope.get("endpoint"), scope.get("router")
        if router is None:
            return UNMATCHED
        if "fastapi" in scope and (template := _frontend(scope)) is not None:
            return template
        if endpoint is None:
            return UNMATCHED
        index = self._indexes.get(id(router))
        if index is None or index.router is not router or index.is_stale(endpoint):
            if len(self._indexes) >= 64:
                self._indexes.clear()
            index = self._indexes[id(router)] = _Index(router)
        return index.template(endpoint, scope)


class _Index:
    """The routes below a router by their endpoints' identity."""

    def __init__(self, router: Any) -> None:
        self.router = router
        self._made_at = time.monotonic()
        self._entries: dict[int, list[Entry]] = {}
        self._kept: list[Any] = []  # an id is valid only as long as its object lives
        for endpoint, entry in _walk(router, "", "", 0):
            self._kept.append(endpoint)
            self._entries.setdefault(id(endpoint), []).append(entry)

    def is_stale(self, endpoint: Any) -> bool:
        """Return whether routes may have been added, and it is time to look again."""
        return id(endpoint) not in self._entries and time.monotonic() - self._made_at > _AGAIN_AFTER_SECONDS

    def template(self, endpoint: Any, scope: dict[str, Any]) -> str:
        entries = self._entries.get(id(endpoint), ())
        if len(entries) == 1:
            return entries[0][0]
        path = _path_below_root(scope)
        for template, pattern in entries:
            if pattern is not None and pattern.match(path):
                return template
        return UNMATCHED


def _walk(router: Any, template: str, pattern: str, depth: int) -> Iterator[tuple[Any, Entry]]:
    """Yield (endpoint, entry) of all routes below a router; `template` and `pattern` are those of the way to it."""
    if depth > _DEEPEST:
        return
    for route in _expanded(getattr(router, "routes", None) or ()):
        endpoint = getattr(route, "endpoint", None)
        path_format, path_regex = getattr(route, "path_format", None), getattr(route, "path_regex", None)
        if endpoint is not None and path_format is not None:
            yield endpoint, _entry(template + path_format, pattern, path_regex)
        elif path_format is not None and hasattr(route, "app"):  # a Mount
            inner = re.sub(r"/\(\?P<path>\.\*\)\$$", "", getattr(path_regex, "pattern", "")).removeprefix("^")
            if getattr(route, "routes", None):
                # The mount itself is the endpoint of a 404 below it.
                yield route.app, (UNMATCHED, None)
                yield from _walk(route, template + path_format.removesuffix("/{path}"), pattern + inner, depth + 1)
            else:
                yield route.app, _entry(template + path_format, pattern, path_regex)
        elif getattr(route, "routes", None):  # a Host
            yield from _walk(route, template, pattern, depth + 1)


def _expanded(routes: Any) -> Iterator[Any]:
    """Yield routes; those of routers that FastAPI included by reference get their prefixes."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if callable(contexts):
            for context in contexts():
                yield getattr(context, "starlette_route", None) or context
        else:
            yield route


def _entry(template: str, pattern: str, path_regex: Any) -> Entry:
    whole = "^" + pattern + getattr(path_regex, "pattern", "$").removeprefix("^")
    try:
        # A name may occur twice, in a mount and in a route of it, which `re` rejects.
        return template, re.compile(re.sub(r"\(\?P<\w+>", "(?:", whole))
    except re.error:
        return template, None


def _included(fastapi: Any, route: Any) -> Any:
    context = fastapi.get("effective_route_context")
    if context is not None and (route is None or context.original_route is route):
        return getattr(context, "starlette_route", None) or context
    return route


def _frontend(scope: dict[str, Any]) -> str | None:
    """Return the template of front-end files, which FastAPI serves without a route."""
    rest = scope["fastapi"].get("frontend_path")
    if rest is None or scope.get("endpoint") is not None:
        return None
    path: str = scope["path"]
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return path.removesuffix(rest).removeprefix(root).rstrip("/") + "/{path}"


def _path_below_root(scope: dict[str, Any]) -> str:
    """Return the path without the server's mount point. Old versions of Starlette shorten it at each mount."""
    path: str = scope["path"]
    root, mounted = scope.get("app_root_path", ""), scope.get("root_path", "")
    if "app_root_path" in scope and not path.startswith(mounted):
        path = mounted + path
    return path.removeprefix(root)
