"""Record calls made with httpx, sync and async.

    from platform_sdk.outgoing import httpx as outgoing
    outgoing.install(apis={"api.openalex.org": "openalex"})                      # every client of this process
    client = httpx.Client(transport=outgoing.MonitoredTransport(apis={...}))     # or only this one

`install` covers clients made before, too. It is the transport that is patched: clients' event hooks do not see timeouts
and refused connections. Durations end when the body is read or closed, streamed or not; sizes are bytes as received. A
request that is sent again, as retrying transports do, has its `attempt`. With `blocked`, bodies up to 1 MiB are kept
until they end. Calls to language models say what they used (see `outgoing.gen_ai`).
"""

import httpx

from platform_sdk.outgoing.transports import Library, Monitored

LIBRARY = Library(httpx)
_hook = LIBRARY.hook()
install, uninstall, ensure = _hook.install, _hook.uninstall, _hook.ensure


class MonitoredTransport(Monitored, httpx.BaseTransport):
    """Record what goes through another transport; without one, through an `httpx.HTTPTransport` of these options."""

    _default = httpx.HTTPTransport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        response: httpx.Response = LIBRARY.send(self._transport, self._transport.handle_request, self.rules, request)
        return response

    def close(self) -> None:
        """Close the other transport."""
        self._transport.close()


class MonitoredAsyncTransport(Monitored, httpx.AsyncBaseTransport):
    """Record what goes through another transport; without one, an `httpx.AsyncHTTPTransport` of these options."""

    _default = httpx.AsyncHTTPTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        response: httpx.Response = await LIBRARY.send_async(
            self._transport, self._transport.handle_async_request, self.rules, request
        )
        return response

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()
