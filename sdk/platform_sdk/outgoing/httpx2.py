"""Record calls made with httpx2, sync and async.

    from platform_sdk.outgoing import httpx2 as outgoing
    outgoing.install(apis={"api.openalex.org": "openalex"})                      # every client of this process
    client = httpx2.Client(transport=outgoing.MonitoredTransport(apis={...}))     # or only this one

`install` covers clients made before, too. It is the transport that is patched: clients' event hooks do not see timeouts
and refused connections. Durations end when the body is read or closed, streamed or not; sizes are bytes as received. A
request that is sent again, as retrying transports do, has its `attempt`. With `blocked`, bodies up to 1 MiB are kept
until they end. Calls to language models say what they used (see `outgoing.gen_ai`). The clients
of OpenAI and Anthropic are built on it since their versions 3 and 2.
"""

import httpx2

from platform_sdk.outgoing.transports import Library, Monitored

LIBRARY = Library(httpx2)
_hook = LIBRARY.hook()
install, uninstall, ensure = _hook.install, _hook.uninstall, _hook.ensure


class MonitoredTransport(Monitored, httpx2.BaseTransport):
    """Record what goes through another transport; without one, through an `httpx2.HTTPTransport` of these options."""

    _default = httpx2.HTTPTransport

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass a request on."""
        response: httpx2.Response = LIBRARY.send(self._transport, self._transport.handle_request, self.rules, request)
        return response

    def close(self) -> None:
        """Close the other transport."""
        self._transport.close()


class MonitoredAsyncTransport(Monitored, httpx2.AsyncBaseTransport):
    """Record what goes through another transport; without one, an `httpx2.AsyncHTTPTransport` of these options."""

    _default = httpx2.AsyncHTTPTransport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass a request on."""
        response: httpx2.Response = await LIBRARY.send_async(
            self._transport, self._transport.handle_async_request, self.rules, request
        )
        return response

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()
