"""Record the requests of a WSGI application: Flask, or any other.

    app.wsgi_app = PlatformMiddleware(app.wsgi_app)     # Flask
    application = PlatformMiddleware(application)       # anything

A request's time ends when the server closes what the application returned, so with the last byte of a stream; of a
list, or of nothing to close, with the application's return. Status 499 means that the server closed a response before
its end, as it does when the client has left; 500 that an exception escaped, whatever status had been sent before.
"""

from collections.abc import Callable, Iterable
from typing import Any

from platform_sdk import client, request_context
from platform_sdk.web import flask
from platform_sdk.web.record import KEY
from platform_sdk.web.wsgi_exchange import Environ, Exchange, StartResponse

App = Callable[[Environ, StartResponse], Iterable[bytes]]


class PlatformMiddleware:
    """Record what passes through. Hooks may be given, both called when the response starts:

    identify: environ -> (user id, role, session id); otherwise Flask-Login tells, where it is used.
    route: environ -> template or None, for applications without a router.
    """

    def __init__(
        self,
        app: App,
        *,
        identify: Callable[[Environ], Any] | None = None,
        route: Callable[[Environ], str | None] | None = None,
    ) -> None:
        self.app = app
        self.identify = identify
        self.route = route
        flask.listen()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        intake = client.current
        if intake is None or KEY in environ:
            return self.app(environ, start_response)
        exchange = Exchange(self, intake, environ, start_response)
        token = request_context.current.set(exchange)
        try:
            result = self.app(environ, exchange.start_response)
        except BaseException as error:
            exchange.end(500, error)
            raise
        finally:
            request_context.current.reset(token)
        return exchange.follow(result)
