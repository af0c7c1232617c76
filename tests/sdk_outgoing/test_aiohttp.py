"""What only aiohttp has: sessions with a trace, answers that are never read, tasks that are cancelled."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import aiohttp

from platform_sdk.outgoing import aiohttp as outgoing
from tests.sdk_outgoing.api import Api

Recorded = Callable[[], list[dict[str, Any]]]


def test_trace_config(api: Api, recorded: Recorded) -> None:
    """One session can be recorded without touching the others."""

    async def run() -> None:
        config = outgoing.trace_config(apis={api.host: "papers"})
        async with aiohttp.ClientSession(trace_configs=[config]) as traced, aiohttp.ClientSession() as other:
            for session in (traced, other):
                async with session.get(api.url("/ok")) as response:
                    await response.read()

    asyncio.run(run())

    assert [row["api"] for row in recorded()] == ["papers"]


def test_answer_given_up(api: Api, recorded: Recorded) -> None:
    """The call of a body that is not read ends when the response is released."""
    outgoing.install()

    async def run() -> None:
        async with aiohttp.ClientSession() as session, session.get(api.url("/held")) as response:
            await response.content.readexactly(12)

    asyncio.run(run())
    (row,) = recorded()

    assert (row["outcome"], row["response_bytes"]) == ("success", 12)


def test_session_made_before_uninstalling(api: Api, recorded: Recorded) -> None:
    """A session that outlives the hook goes on without recording."""

    async def run() -> None:
        outgoing.install()
        async with aiohttp.ClientSession() as session:
            outgoing.uninstall()
            async with session.get(api.url("/ok")) as response:
                assert response.status == 200

    asyncio.run(run())

    assert recorded() == []


def test_raise_for_status(api: Api, recorded: Recorded) -> None:
    """Where the session raises on a status, the reason is that status."""
    outgoing.install()

    async def run() -> None:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            with contextlib.suppress(aiohttp.ClientResponseError):
                await session.get(api.url("/status/403"))

    asyncio.run(run())
    (row,) = recorded()

    assert (row["reason"], row["status"]) == ("forbidden", 403)


def test_cancelled_call(api: Api, recorded: Recorded) -> None:
    """A call that the application gave up is a failure, for a reason that is not the API's."""
    outgoing.install()

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(session.get(api.url("/hang")), 0.1)

    asyncio.run(run())
    (row,) = recorded()

    assert (row["outcome"], row["reason"]) == ("failure", "cancelled")
