"""Follow one WSGI request from its first byte to the closing of its response."""

from collections.abc import Callable, Iterable
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol

from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.request_context import Told
from platform_sdk.web import flask
from platform_sdk.web.actor import UNKNOWN, Actor, identified
from platform_sdk.web.address import client_address
from platform_sdk.web.plan import UNMATCHED, closed_method, plan_of
from platform_sdk.web.record import CLIENT_GONE, KEY, lose, record, record_exception
from platform_sdk.web.wsgi_body import Body, SizedBody

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write = Callable[[bytes], Any]
StartResponse = Callable[..., Write]


class Layer(Protocol):
    """What an exchange needs of the middleware."""

    identify: Callable[[Environ], Any] | None
    route: Callable[[Environ], str | None] | None


class Exchange:
    """Follow one request."""

    __slots__ = (
        "__weakref__", "_actor", "_begun", "_environ", "_headers", "_intake", "_layer", "_mounted_at", "_path",
        "_route", "_start_response", "_started", "_status", "_streams", "ended", "size",
    )  # fmt: skip

    def __init__(self, layer: Layer, intake: Intake, environ: Environ, start_response: StartResponse) -> None:
        self._begun = perf_counter()
        self._layer = layer
        self._intake = intake
        self._environ = environ
        self._start_response = start_response
        self._path = environ.get("PATH_INFO", "")  # dispatchers change both
        self._mounted_at = environ.get("SCRIPT_NAME", "")
        self._route: str | None = None
        self._actor: Actor | None = None
        self._status = 0
        self._started: float | None = None
        self._streams = False
        self._headers: Any = ()
        self.size: int | None = 0
        self.ended = False
        environ[KEY] = self

    def start_response(self, status: str, headers: Any, exc_info: ExcInfo | None = None) -> Write:
        """Pass it on, noting what is known by now; the application's context ends soon after."""
        try:
            self._status = int(status[:3])
            self._headers = headers
            self._started = perf_counter()
            self.look()
        except Exception as trouble:  # noqa: BLE001 - what is malformed is the server's to refuse
            note("wsgi", trouble)
        if exc_info:
            self.tell(exc_info[1])
            write = self._start_response(status, headers, exc_info)
        else:
            write = self._start_response(status, headers)

        def counting(data: bytes) -> Any:
            if self.size is not None:
                self.size += len(data)
            return write(data)

        return counting

    def follow(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server is to send: the application's own object wherever a server looks at what it is."""
        try:
            if type(result) in (list, tuple):
                self.size = (self.size or 0) + sum(map(len, result))
                self.end(self._status)
                return result
            wrapper = self._environ.get("wsgi.file_wrapper")
            if isinstance(wrapper, type) and isinstance(result, wrapper):
                return self._follow_file(result)
            if wrapper is not None and hasattr(result, "read"):  # uWSGI: it recognises the very file
                self.size = self.content_length()
                self.end(self._status)
                return result
            self._streams = True
            return (SizedBody if hasattr(type(result), "__len__") else Body)(self, result)
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(self._intake, "wsgi", trouble)
            return result

    def _follow_file(self, result: Any) -> Iterable[bytes]:
        """Keep the server's own wrapper, which it recognises and sends by sendfile(2); learn when it is closed."""
        close = getattr(result, "close", None)
        self.size = self.content_length()
        self._streams = True

        def closing() -> None:
            try:
                if close is not None:
                    close()
            finally:
                self.end(self._status)

        try:
            result.close = closing
        except (AttributeError, TypeError):  # made in C
            self.end(self._status)
        return result  # type: ignore[no-any-return]  # it is the argument

    def content_length(self) -> int | None:
        """Return what the headers say of the body's size."""
        for name, value in self._headers:
            if name.lower() == "content-length":
                return int(value)
        return None

    def closed(self, *, exhausted: bool, error: BaseException | None) -> None:
        """End it when the server has closed the body."""
        if error is not None:
            self.end(500, error)
            return
        try:
            whole = exhausted or self._environ.get("REQUEST_METHOD") == "HEAD" or self.size == self.content_length()
        except Exception:  # noqa: BLE001 - a malformed Content-Length
            whole = False
        self.end(self._status if whole else CLIENT_GONE)

    def look(self) -> None:
        """Find out route and actor, if that was not done."""
        if self._route is None:
            self._route = self._template() or UNMATCHED
        if self._actor is None:
            self._actor = self._found_actor()

    def describe(self) -> Told:
        """Return what is known of it by now, without holding on to it: a user may yet be loaded."""
        ip, user_agent = self._address_and_agent(plan_of(self._intake).trusted_proxies)
        method = closed_method(self._environ.get("REQUEST_METHOD"))
        route, actor = self._route or self._template() or UNMATCHED, self._actor or self._found_actor()
        return Told(route, method, *actor, ip, user_agent)

    def told(self, route: str, actor: Actor) -> None:
        """Take a layer's word that is further in, and knows better."""
        self._route, self._actor = route, actor

    def tell(self, error: BaseException | None) -> None:
        """Emit an exception of this request."""
        if not isinstance(error, Exception):
            return
        try:
            self.look()
            ip, user_agent = self._address_and_agent(plan_of(self._intake).trusted_proxies)
            method = closed_method(self._environ.get("REQUEST_METHOD"))
            record_exception(error, self._route or UNMATCHED, method, self._actor or UNKNOWN, ip, user_agent)
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(self._intake, "wsgi", trouble)

    def end(self, status: int, error: BaseException | None = None) -> None:
        """Emit the exception and, if that was not done, the request."""
        duration_seconds = perf_counter() - self._begun
        self.tell(error)
        if self.ended:
            return
        self.ended = True
        try:
            self.look()
            plan = plan_of(self._intake)
            ip, user_agent = self._address_and_agent(plan.trusted_proxies)
            method = closed_method(self._environ.get("REQUEST_METHOD"))
            record(
                plan, plan.leaves_out(self._path), self._route or UNMATCHED, method, status or 500, duration_seconds,
                self.size, self._actor or UNKNOWN, ip, user_agent, self._first_byte_seconds(),
            )  # fmt: skip
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(self._intake, "wsgi", trouble)
        finally:
            # It is in the environ, and has the environ: this ends the circle without the garbage collector.
            self._environ = {}

    def _first_byte_seconds(self) -> float | None:
        return self._started - self._begun if self._streams and self._started is not None else None

    def _found_actor(self) -> Actor:
        identify = self._layer.identify
        return flask.actor(self._environ) if identify is None else identified(identify, self._environ)

    def _template(self) -> str | None:
        if self._layer.route is not None:
            try:
                return self._layer.route(self._environ)
            except Exception as trouble:  # noqa: BLE001 - code of the application's, called on our account
                note("route", trouble)
                return None
        return flask.template(self._environ, self._mounted_at)

    def _address_and_agent(self, trusted_proxies: int) -> tuple[str | None, str | None]:
        environ = self._environ
        address = client_address(
            environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR"), environ.get("HTTP_FORWARDED"),
            trusted_proxies,
        )  # fmt: skip
        return address, environ.get("HTTP_USER_AGENT")
