"""The libraries under test, behind one face: get a page, or its first bytes only."""

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import aiohttp
import httpx
import requests
import urllib3

from platform_sdk.outgoing import aiohttp as aiohttp_hook
from platform_sdk.outgoing import httpx as httpx_hook
from platform_sdk.outgoing import requests as requests_hook
from platform_sdk.outgoing import urllib3 as urllib3_hook


class Caller(Protocol):
    """One library; `timeouts` and `breaks` are what it raises, `broken` the status it tells where a body breaks off."""

    hook: ModuleType
    patched: tuple[tuple[type, str], ...]
    timeouts: type[Exception]
    breaks: type[Exception]
    broken: int | None

    def get(self, url: str, timeout_seconds: float = 60) -> int:
        """Get a page whole, following redirects; return its status."""

    def get_stream(self, url: str, then: Callable[[], None]) -> bytes:
        """Begin to read a body, do something else, and read on; return the body."""


class Requests:
    hook = requests_hook
    patched = ((requests.Session, "send"), (requests.adapters.HTTPAdapter, "send"))
    timeouts = requests.Timeout
    breaks = requests.ConnectionError
    broken = 200

    def get(self, url: str, timeout_seconds: float = 60) -> int:
        try:
            return requests.get(url, timeout=timeout_seconds).status_code
        except requests.exceptions.ChunkedEncodingError as error:
            raise self.breaks(str(error)) from error

    def get_stream(self, url: str, then: Callable[[], None]) -> bytes:
        with requests.get(url, stream=True, timeout=60) as response:
            chunks = response.iter_content(12)
            first = next(chunks)
            then()
            return first + b"".join(chunks)


class Httpx:
    hook = httpx_hook
    patched = ((httpx.HTTPTransport, "handle_request"), (httpx.AsyncHTTPTransport, "handle_async_request"))
    timeouts = httpx.TimeoutException
    breaks = httpx.TransportError
    broken = 200

    def get(self, url: str, timeout_seconds: float = 60) -> int:
        with httpx.Client(timeout=timeout_seconds, follow_redirects=True, trust_env=False) as client:
            return client.get(url).status_code

    def get_stream(self, url: str, then: Callable[[], None]) -> bytes:
        with httpx.Client(timeout=60, trust_env=False) as client, client.stream("GET", url) as response:
            chunks = response.iter_raw()
            first = next(chunks)
            then()
            return first + b"".join(chunks)


class HttpxAsync(Httpx):
    def get(self, url: str, timeout_seconds: float = 60) -> int:
        async def run() -> int:
            async with httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=True, trust_env=False) as client:
                return (await client.get(url)).status_code

        return asyncio.run(run())

    def get_stream(self, url: str, then: Callable[[], None]) -> bytes:
        async def run() -> bytes:
            async with (
                httpx.AsyncClient(timeout=60, trust_env=False) as client,
                client.stream("GET", url) as response,
            ):
                body = b""
                async for chunk in response.aiter_raw():
                    if not body:
                        then()
                    body += chunk
                return body

        return asyncio.run(run())


class Aiohttp:
    hook = aiohttp_hook
    patched = ((aiohttp.ClientSession, "__init__"),)
    timeouts = TimeoutError
    breaks = aiohttp.ClientError
    broken = 200

    def get(self, url: str, timeout_seconds: float = 60) -> int:
        async def run() -> int:
            timeout = aiohttp.ClientTimeout(total=timeout_seconds)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                await response.read()
                return response.status

        return asyncio.run(run())

    def get_stream(self, url: str, then: Callable[[], None]) -> bytes:
        async def run() -> bytes:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                first: Any = await response.content.readexactly(12)
                then()
                return bytes(first) + await response.content.read()

        return asyncio.run(run())


class Urllib3:
    hook = urllib3_hook
    patched = ((urllib3.HTTPConnectionPool, "urlopen"), (urllib3.Retry, "increment"))
    timeouts = urllib3.exceptions.HTTPError
    breaks = urllib3.exceptions.HTTPError
    broken = None  # it reads the body before it returns the response, and its exception does not have it

    def get(self, url: str, timeout_seconds: float = 60) -> int:
        with urllib3.PoolManager(retries=urllib3.Retry(None, connect=0, read=0, redirect=3)) as pools:
            return pools.request("GET", url, timeout=timeout_seconds).status

    def get_stream(self, url: str, then: Callable[[], None]) -> bytes:
        with urllib3.PoolManager() as pools:
            response = pools.request("GET", url, timeout=60, preload_content=False)
            first: bytes = response.read(12)
            then()
            return first + response.read()


CALLERS: dict[str, Callable[[], Caller]] = {
    "requests": Requests,
    "httpx": Httpx,
    "httpx-async": HttpxAsync,
    "aiohttp": Aiohttp,
    "urllib3": Urllib3,
}
