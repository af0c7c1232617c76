"""What only httpx has: transports above transports, and many calls at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from platform_sdk.outgoing import httpx as outgoing
from tests.sdk_outgoing.api import Api

Recorded = Callable[[], list[dict[str, Any]]]


class Retrying(httpx.BaseTransport):
    """Send a request up to three times, as retrying transports do."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(2):
            response = self._transport.handle_request(request)
            if response.status_code != 503:
                return response
            response.close()
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


def test_retrying_transport_is_told_apart(api: Api, recorded: Recorded) -> None:
    """Each time a request is sent is another try."""
    outgoing.install()
    with httpx.Client(transport=Retrying(httpx.HTTPTransport()), trust_env=False) as client:
        client.get(api.url("/flaky/2"))

    assert [(row["attempt"], row["status"]) for row in recorded()] == [(1, 503), (2, 503), (3, 200)]


def test_monitored_transport(api: Api, recorded: Recorded) -> None:
    """One client can be recorded without touching the others, and only once where all are."""
    outgoing.install(apis={api.host: "of all"})
    with httpx.Client(transport=outgoing.MonitoredTransport(apis={api.host: "papers"})) as client:
        client.get(api.url("/ok"))
    outgoing.uninstall()
    httpx.get(api.url("/ok"), trust_env=False)

    assert [row["api"] for row in recorded()] == ["papers"]


def test_monitored_async_transport(api: Api, recorded: Recorded) -> None:
    """So can an asynchronous one."""

    async def run() -> None:
        transport = outgoing.MonitoredAsyncTransport(apis={api.host: "papers"})
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(api.url("/ok"))

    asyncio.run(run())

    assert [row["api"] for row in recorded()] == ["papers"]


def test_many_at_once(api: Api, recorded: Recorded) -> None:
    """Calls that overlap are not mixed up."""
    outgoing.install()

    async def run() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            await asyncio.gather(*(client.get(api.url(f"/status/{200 + number % 3}")) for number in range(30)))

    asyncio.run(run())

    assert sorted(row["status"] for row in recorded()) == [200] * 10 + [201] * 10 + [202] * 10


def test_answer_given_up(api: Api, recorded: Recorded) -> None:
    """A stream that is left before its end counts with what came of it."""
    outgoing.install()
    with httpx.Client(trust_env=False) as client, client.stream("GET", api.url("/held")) as response:
        next(response.iter_raw())
    (row,) = recorded()

    assert (row["outcome"], row["response_bytes"]) == ("success", 12)
