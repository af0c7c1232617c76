"""Calls to language models without a provider's client: requests, urllib3, aiohttp and httpx record the same."""

import asyncio
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

import platform_sdk
from platform_sdk.outgoing import aiohttp as aiohttp_hook
from platform_sdk.outgoing import httpx as httpx_hook
from platform_sdk.outgoing import requests as requests_hook
from platform_sdk.outgoing import urllib3 as urllib3_hook
from tests.sdk_outgoing.model_server import CLAUDE, EMBEDDER, OPENAI, ModelServer
from tests.sdk_outgoing.test_models import COST_OF_CHAT, COST_OF_MESSAGE, PRICES, of, used

Recorded = Callable[[], list[dict[str, Any]]]
Body = Mapping[str, Any]
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello?"}]}
STREAMED_CHAT = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
MESSAGE = {**CHAT, "model": CLAUDE, "max_tokens": 9}
EMBEDDING = {"model": EMBEDDER, "input": "hello"}


class Requests:
    hook: ModuleType = requests_hook

    def whole(self, url: str, body: Body, headers: Mapping[str, str] | None = None) -> bytes:
        """Post, and return the whole answer."""
        return requests.post(url, json=body, headers=headers, timeout=60).content

    def streamed(self, url: str, body: Body, until: bytes | None = None) -> bytes:
        """Post, and read the answer as it comes, to its end or `until` something was read."""
        with requests.post(url, json=body, stream=True, timeout=60) as response:
            return read(response.iter_content(7), until)

    def unread(self, url: str, body: Body) -> int:
        """Post, and read nothing but the head of the answer; return the status."""
        with requests.post(url, json=body, stream=True, timeout=60) as response:
            return response.status_code


class Urllib3:
    hook: ModuleType = urllib3_hook

    def whole(self, url: str, body: Body, headers: Mapping[str, str] | None = None) -> bytes:
        with urllib3.PoolManager() as pools:
            return pools.request("POST", url, json=body, headers={**(headers or {})}, retries=False).data

    def streamed(self, url: str, body: Body, until: bytes | None = None) -> bytes:
        with urllib3.PoolManager() as pools:
            response = pools.request("POST", url, json=body, preload_content=False)
            try:
                return read(response.stream(7), until)
            finally:
                response.close()

    def unread(self, url: str, body: Body) -> int:
        with urllib3.PoolManager() as pools:
            response = pools.request("POST", url, json=body, preload_content=False)
            response.close()
            return response.status


class Urllib3Reads(Urllib3):
    """It reads pieces of a size, not as they come, and gives the connection back."""

    def streamed(self, url: str, body: Body, until: bytes | None = None) -> bytes:
        with urllib3.PoolManager() as pools:
            response = pools.request("POST", url, json=body, preload_content=False)
            try:
                return read(iter(lambda: response.read(7), b""), until)
            finally:
                response.release_conn()


class Aiohttp:
    """It reads lines."""

    hook: ModuleType = aiohttp_hook

    async def pieces(self, content: aiohttp.StreamReader, until: bytes | None) -> bytes:
        """Read the lines of an answer."""
        found = b""
        async for line in content:
            found += line
            if until is not None and until in found:
                break
        return found

    def whole(self, url: str, body: Body, headers: Mapping[str, str] | None = None) -> bytes:
        async def run() -> bytes:
            async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
                return await response.read()

        return asyncio.run(run())

    def streamed(self, url: str, body: Body, until: bytes | None = None) -> bytes:
        async def run() -> bytes:
            async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
                return await self.pieces(response.content, until)

        return asyncio.run(run())

    def unread(self, url: str, body: Body) -> int:
        async def run() -> int:
            async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
                return response.status

        return asyncio.run(run())


class AiohttpReads(Aiohttp):
    """It reads pieces of a size."""

    async def pieces(self, content: aiohttp.StreamReader, until: bytes | None) -> bytes:
        found = b""
        async for piece in content.iter_chunked(7):
            found += piece
            if until is not None and until in found:
                break
        return found


class Httpx:
    hook: ModuleType = httpx_hook

    def whole(self, url: str, body: Body, headers: Mapping[str, str] | None = None) -> bytes:
        with httpx.Client(timeout=60, trust_env=False) as client:
            return client.post(url, json=body, headers=headers).content

    def streamed(self, url: str, body: Body, until: bytes | None = None) -> bytes:
        with (
            httpx.Client(timeout=60, trust_env=False) as client,
            client.stream("POST", url, json=body) as response,
        ):
            return read(response.iter_bytes(7), until)

    def unread(self, url: str, body: Body) -> int:
        with (
            httpx.Client(timeout=60, trust_env=False) as client,
            client.stream("POST", url, json=body) as response,
        ):
            return response.status_code


Asker = Requests | Urllib3 | Aiohttp | Httpx
ASKERS = (Requests, Urllib3, Urllib3Reads, Aiohttp, AiohttpReads, Httpx)


def read(pieces: Iterator[bytes], until: bytes | None) -> bytes:
    """Return what was read of the pieces, all of them or `until` something was."""
    found = b""
    for piece in pieces:
        found += piece
        if until is not None and until in found:
            break
    return found


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Return a provider."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def priced(recorded: Recorded, event_store: str, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Recorded:
    """Return `recorded`, of an SDK that knows prices; rows of responses that nobody holds any more are among them."""
    folder = str(tmp_path_factory.mktemp("spool"))
    assert platform_sdk.init(dsn=event_store, app=request.node.nodeid, spool_folder=folder, prices=PRICES)

    def rows() -> list[dict[str, Any]]:
        gc.collect()
        return recorded()

    return rows


@pytest.fixture(params=ASKERS, ids=lambda asker: asker.__name__)
def asker(request: pytest.FixtureRequest, priced: Recorded) -> Asker:
    """Return one library after the other, its hook installed."""
    found: Asker = request.param()
    found.hook.install()
    return found


def test_whole_answer(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """Model, tokens and cost; the application gets every byte."""
    body = asker.whole(f"{server.url}/v1/chat/completions", CHAT)
    [row] = priced()

    assert json.loads(body)["usage"]["prompt_tokens"] == 1000
    assert (row["model"], row["operation"], row["first_token_seconds"]) == (OPENAI, "chat", None)
    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_CHAT)


@pytest.mark.parametrize("until", [None, b"data: [DONE]"])
def test_streamed_answer(server: ModelServer, asker: Asker, priced: Recorded, until: bytes | None) -> None:
    """Read to its end, or to its last line, as is usual; the duration is that of the whole answer."""
    body = asker.streamed(f"{server.url}/v1/chat/completions", STREAMED_CHAT, until)
    [row] = priced()

    assert body.split()[-1] == b"[DONE]"
    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_CHAT)
    assert 0 < row["first_token_seconds"] <= row["duration_seconds"]


def test_streamed_message(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """In Anthropic's protocol."""
    asker.streamed(f"{server.url}/v1/messages", {**MESSAGE, "stream": True})
    [row] = priced()

    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_MESSAGE)


def test_a_stream_that_is_left(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """What was given is known, what would have been billed of the answer is not."""
    asker.streamed(f"{server.url}/v1/messages", {**MESSAGE, "stream": True}, until=b"content_block_start")
    [row] = priced()

    assert (row["model"], row["input_tokens"], row["output_tokens"], row["cost"]) == (CLAUDE, 2000, None, None)


def test_an_answer_that_is_not_read(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """Nothing is read in the application's place: only the model that was asked for is known."""
    status = asker.unread(f"{server.url}/v1/chat/completions", CHAT)
    [row] = priced()

    assert (status, row["status"], row["outcome"]) == (200, 200, "success")
    assert (row["model"], used(row), row["cost"]) == ("gpt-4o", {}, None)


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_compressed_answer(server: ModelServer, asker: Asker, priced: Recorded, encoding: str) -> None:
    """Whatever the library decodes."""
    asker.whole(f"{server.url}/v1/embeddings", EMBEDDING, {"Accept-Encoding": encoding})
    [row] = priced()

    assert (row["model"], row["operation"]) == (EMBEDDER, "embeddings")
    assert used(row) == of(server.billed[0])


def test_an_error(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """The provider's word for it, and the model that was asked for."""
    server.failing = 1
    asker.whole(f"{server.url}/v1/messages", MESSAGE)
    [row] = priced()

    assert (row["model"], row["status"], row["error_type"]) == (CLAUDE, 529, "overloaded_error")


def test_where_blocks_are_looked_for(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """The rule sees the body, and so does what reads the tokens."""
    asker.hook.install(blocked=lambda response: b"prompt_tokens" in response.content)
    asker.whole(f"{server.url}/v1/chat/completions", CHAT)
    [row] = priced()

    assert (row["reason"], used(row)) == ("blocked", of(server.billed[0]))


def test_other_calls_are_not_followed(server: ModelServer, asker: Asker, priced: Recorded) -> None:
    """A path that is not a model's."""
    asker.streamed(f"{server.url}/v1/other", CHAT)
    [row] = priced()

    assert (row["status"], row["model"], row["operation"]) == (200, None, None)


@pytest.mark.parametrize("library", ["requests", "urllib3"])
def test_tries_that_the_library_makes(server: ModelServer, priced: Recorded, library: str) -> None:
    """Each is a row of its own; only the one that was answered was billed."""
    retry = urllib3.Retry(3, status_forcelist=[529], allowed_methods=None, backoff_factor=0)
    server.failing = 2
    if library == "requests":
        requests_hook.install()
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.post(f"{server.url}/v1/messages", json=MESSAGE, timeout=60)
    else:
        urllib3_hook.install()
        with urllib3.PoolManager(retries=retry) as pools:
            pools.request("POST", f"{server.url}/v1/messages", json=MESSAGE)
    rows = priced()

    assert [(row["attempt"], row["status"], row["model"]) for row in rows] == [
        (1, 529, CLAUDE), (2, 529, CLAUDE), (3, 200, CLAUDE),
    ]  # fmt: skip
    assert [used(row) for row in rows] == [{}, {}, of(server.billed[0])]


def test_a_session_of_its_own(server: ModelServer, priced: Recorded) -> None:
    """An adapter that is mounted sees the answer that the session reads."""
    with requests.Session() as session:
        session.mount("http://", requests_hook.MonitoredAdapter())
        session.post(f"{server.url}/v1/chat/completions", json=CHAT, timeout=60)
    [row] = priced()

    assert used(row) == of(server.billed[0])


def test_a_response_that_nobody_closes(server: ModelServer, priced: Recorded) -> None:
    """Its row comes when it is collected."""
    requests_hook.install()
    response = requests.post(f"{server.url}/v1/messages", json={**MESSAGE, "stream": True}, stream=True, timeout=60)
    read(iter(partial(response.raw.read, 7), b""), b"content_block_start")
    before = priced()
    del response
    [row] = priced()

    assert before == []
    assert (row["input_tokens"], row["output_tokens"]) == (2000, None)


@pytest.mark.parametrize(
    ("asker", "error"),
    [
        (Requests, requests.exceptions.ChunkedEncodingError), (Urllib3, urllib3.exceptions.ProtocolError),
        (Urllib3Reads, urllib3.exceptions.ProtocolError), (Aiohttp, aiohttp.ClientPayloadError),
    ],
    indirect=["asker"],
)  # fmt: skip
def test_a_body_that_breaks_off(server: ModelServer, asker: Asker, priced: Recorded, error: type[Exception]) -> None:
    """The library's exception passes, and the call is a failure; what was given is known."""
    with pytest.raises(error):
        asker.streamed(f"{server.url}/v1/messages", {**MESSAGE, "stream": True, "messages": [{"content": "cut"}]})
    [row] = priced()

    assert (row["outcome"], row["reason"], row["status"]) == ("failure", "connection", 200)
    assert (row["input_tokens"], row["output_tokens"]) == (2000, None)
