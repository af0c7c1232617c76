"""Middlewares that record the requests an application serves, one per interface, each imported by its own path.

platform_sdk.web.asgi, platform_sdk.web.wsgi and platform_sdk.web.django each have a `PlatformMiddleware`. None of
them raises into the application, changes a response, swallows an exception or waits for anything; before
`platform_sdk.init` they pass requests on unchanged. A request is recorded once, by the outermost of them.
"""
