"""Record the requests of a WSGI application: Flask, or any other.

    app.wsgi_app = PlatformMiddleware(app.wsgi_app)     # Flask
    application = PlatformMiddleware(application)       # anything

A request's time ends when the server closes what the application returned, so with the last byte of a stream; of a
list, or of nothing to close, with the application's return. Status 499 means that the server closed a response before
its end, as it does when the client has left; 500 that an exception escaped, whatever status had been sent before.
"""

from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any

from platform_sdk import client, consumers, emit, request_context, scope
from platform_sdk.actor import Actor, identified
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.parsing import size_of
from platform_sdk.request_context import RequestDetails
from platform_sdk.trace import NO_TRACE, Trace, of_request
from platform_sdk.web import flask
from platform_sdk.web.address import address_and_agent
from platform_sdk.web.body import Parts
from platform_sdk.web.record import (
    CLIENT_GONE,
    KEY,
    closed_method,
    is_failure,
    options_of,
    record_activity,
    record_exception,
    routed,
)

Environ = dict[str, Any]
Write = Callable[[bytes], Any]
StartResponse = Callable[..., Write]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
Identify = Callable[[Environ], Any]
RouteOf = Callable[[Environ], str | None]


class PlatformMiddleware:
    """The middleware. Two functions may be given, both called when the response starts:

    identify: environ -> (user id, role, session id); by default Flask-Login is asked, where it is used.
    route: environ -> template or None, for applications without a router.
    """

    def __init__(self, app: App, *, identify: Identify | None = None, route: RouteOf | None = None) -> None:
        self.app = app
        self.identify = identify
        self.route = route
        flask.listen()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        intake = client.current
        if intake is None or KEY in environ:
            return self.app(environ, start_response)
        request = WsgiRequest(self, intake, environ, start_response)
        token = request_context.current.set(request)
        try:
            result = self.app(environ, request.start_response)
        except BaseException as error:
            request.end(500, error)
            raise
        finally:
            request_context.current.reset(token)
        return request.follow(result)


class WsgiRequest:
    """One request, followed from its first byte to the closing of its response."""

    __slots__ = (
        "__weakref__", "_actor", "_begun", "_environ", "_headers", "_intake", "_middleware", "_mounted_at", "_path",
        "_route", "_start_response", "_started", "_status", "_streams", "_trace", "ended", "handled", "said",
        "signed_out", "size",
    )  # fmt: skip

    def __init__(
        self, middleware: PlatformMiddleware, intake: Intake, environ: Environ, start_response: StartResponse
    ) -> None:
        self._begun = perf_counter()
        self._middleware = middleware
        self._intake = intake
        self._environ = environ
        self._start_response = start_response
        self._path = environ.get("PATH_INFO", "")  # dispatchers change both
        self._mounted_at = environ.get("SCRIPT_NAME", "")
        self._route: str | None = None
        self._actor: Actor | None = None
        self._trace: Trace = NO_TRACE
        self._status = 0
        self._started: float | None = None
        self._streams = False
        self._headers: Any = ()
        self.size: int | None = 0
        self.ended = False
        self.said: scope.Scope | None = None
        self.signed_out: Actor | None = None
        self.handled: Exception | None = None  # what a handler of the application's is answering
        environ[KEY] = self

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Write:
        """Pass it on, noting what is known by now; the application's context ends soon after."""
        try:
            self._status = int(status[:3])
            self._headers = headers
            self._started = perf_counter()
            self._look_up()
            if self._status >= 500:
                self.record_exception(self.handled)
            self.handled = None
        except Exception as error:  # noqa: BLE001 - the server refuses what is malformed
            note("wsgi", error)
        if exc_info:
            self.record_exception(exc_info[1])
            write = self._start_response(status, headers, exc_info)
        else:
            write = self._start_response(status, headers)

        def counting(data: bytes) -> Any:
            if self.size is not None:
                self.size += len(data)
            return write(data)

        return counting

    def follow(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server is to send: the application's own object wherever a server looks at its class."""
        try:
            if type(result) in (list, tuple):
                self.size = (self.size or 0) + sum(map(len, result))
                self.end(self._status)
                return result
            wrapper = self._environ.get("wsgi.file_wrapper")
            if isinstance(wrapper, type) and isinstance(result, wrapper):
                return self._follow_file(result)
            if wrapper is not None and hasattr(result, "read"):  # uWSGI: it recognises the very file
                self.size = self._content_length()
                self.end(self._status)
                return result
            return (SizedBody if hasattr(type(result), "__len__") else Body)(self, result)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("wsgi", error)
            return result

    def _follow_file(self, result: Any) -> Iterable[bytes]:
        """Keep the server's own wrapper, which it recognises and sends by sendfile(2); learn when it is closed."""
        close = getattr(result, "close", None)
        self.size = self._content_length()
        self._streams = True

        def closing() -> None:
            token = request_context.current.set(self)
            try:
                if close is not None:
                    close()
            finally:
                self.end(self._status)
                request_context.current.reset(token)

        try:
            result.close = closing
        except (AttributeError, TypeError):  # made in C
            self.end(self._status)
        return result  # type: ignore[no-any-return]  # it is the argument

    def _content_length(self) -> int | None:
        for name, value in self._headers:
            if name.lower() == "content-length":
                return size_of(value)
        return None

    def body_closed(self, body: "Body", exception: BaseException | None) -> None:
        """End the request when the server has closed its body."""
        self.size = (self.size or 0) + body.size
        self._streams = body.parts > 1  # Werkzeug's responses are iterators, of one part mostly
        if exception is not None:
            self.end(500, exception)
            return
        try:
            head = self._environ.get("REQUEST_METHOD") == "HEAD"
            whole = body.complete or head or self.size == self._content_length()
        except Exception:  # noqa: BLE001 - a malformed Content-Length
            whole = False
        self.end(self._status if whole else CLIENT_GONE)

    def take_from_inner(self, route: str, actor: Actor, said: scope.Scope | None) -> None:
        """Take what a middleware further in knows better."""
        self._route, self._actor, self.said = route, actor, self.said or said

    def describe(self) -> RequestDetails:
        """Return what is known by now, without keeping it: a user may yet be loaded."""
        route, actor = self._route or self._found_route(), self._acting(self._actor or self._found_actor())
        environ = self._environ
        ip, user_agent = address_and_agent(environ, options_of(self._intake).trusted_proxies)
        trace = of_request(self.traceparent()) if self._trace is NO_TRACE else self._trace
        return RequestDetails(route, closed_method(environ.get("REQUEST_METHOD")), *actor, ip, user_agent, trace)

    def consumer(self) -> str | None:
        """Return on whose behalf it is."""
        named, option = scope.consumer_of(self.said) if scope.used else None, self._intake.options.consumer
        if named is not None or option is None:
            return named
        environ = self._environ
        return consumers.found(option, partial(consumers.header_of, environ), partial(consumers.headers_of, environ))

    def traceparent(self) -> str | None:
        """Return its header of that name."""
        return self._environ.get("HTTP_TRACEPARENT")

    def record_exception(self, exception: BaseException | None) -> None:
        """Emit an exception of this request."""
        if exception is None or not is_failure(exception):
            return
        try:
            self._look_up()
            record_exception(exception, self.describe(), self.said)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("wsgi", error)

    def end(self, status: int, exception: BaseException | None = None) -> None:
        """Emit the exception, and the request, once."""
        duration_seconds = perf_counter() - self._begun
        self.record_exception(exception)
        if self.ended:
            return
        self.ended = True
        try:
            route, actor = self._look_up()
            options = options_of(self._intake)
            ip, user_agent = address_and_agent(self._environ, options.trusted_proxies)
            method = closed_method(self._environ.get("REQUEST_METHOD"))
            first_byte = self._started - self._begun if self._streams and self._started is not None else None
            actor, status = self._acting(actor), status or 500
            if status >= 500 or not options.leaves_out(self._path):
                by = self.consumer() if scope.used or options.consumer is not None else None
                emit.request_finished(
                    route, method, status, duration_seconds, self.size, *actor, ip, user_agent, first_byte,
                    self._trace, by,
                )  # fmt: skip
            if options.activity_rules:
                record_activity(options, route, method, status, duration_seconds, actor, ip, user_agent)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("wsgi", error)
        finally:
            # It is in the environ, and has the environ: this ends the circle without the garbage collector.
            self._environ = {}

    def _look_up(self) -> tuple[str, Actor]:
        """Look up route, actor and trace, once."""
        if self._route is None:
            self._route = self._found_route()
        if self._actor is None:
            self._actor = self._found_actor()
        if self._trace is NO_TRACE:
            self._trace = of_request(self.traceparent())
        return self._route, self._actor

    def _acting(self, found: Actor) -> Actor:
        return scope.acting(self.said, found) if scope.used else found

    def _found_actor(self) -> Actor:
        identify = self._middleware.identify
        if identify is not None:
            return identified(identify, self._environ)
        found = flask.actor(self._environ)
        return self.signed_out if self.signed_out is not None and found[0] is None else found

    def _found_route(self) -> str:
        route = self._middleware.route
        return flask.template(self._environ, self._mounted_at) if route is None else routed(route, self._environ)


class Body(Parts):
    """What the server gets in place of what the application returned."""

    __slots__ = ()

    _request: WsgiRequest

    def close(self) -> None:
        """Close what the application returned. The server calls it however the response ended."""
        token = request_context.current.set(self._request)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self.error = error
            raise
        finally:
            exception, self.error = self.error, None
            self._request.body_closed(self, exception)
            request_context.current.reset(token)


class SizedBody(Body):
    """A body that has a length: some servers make a Content-Length of a body of one piece."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)
