"""Record the requests an application serves: one middleware per interface, each imported by its own path.

exporter.sdk.web.asgi, exporter.sdk.web.wsgi and exporter.sdk.web.django each have a `PlatformMiddleware`. None of
them raises into the application, changes a response, swallows an exception or waits for anything; before
`exporter.sdk.init` they pass requests on untouched. A request is recorded once, by the outermost of them.
"""
