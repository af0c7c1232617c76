"""Calls to language models through the real clients: what is recorded is what the provider billed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from psycopg.conninfo import make_conninfo

import platform_sdk
from platform_sdk.model_usage import COUNTS, ModelUsage
from platform_sdk.outgoing import httpx as httpx_hook
from platform_sdk.outgoing import httpx2 as hook
from tests.aggregation.counting import Store
from tests.sdk_outgoing.conftest import DATABASE
from tests.sdk_outgoing.model_server import CLAUDE, EMBEDDER, GEMINI, OPENAI, ModelServer
from tools.stack.servers import Postgres

Recorded = Callable[[], list[dict[str, Any]]]
QUESTION: Any = [{"role": "user", "content": "hello?"}]
PRICES = {
    "gpt-4o": {"input": 2.5, "cache_read": 1.25, "output": 10.0},
    CLAUDE: {"input": 3.0, "cache_read": 0.3, "cache_creation": 3.75, "output": 15.0},
}
COST_OF_CHAT = (600 * 2.5 + 400 * 1.25 + 300 * 10) / 1e6
COST_OF_MESSAGE = (200 * 3 + 1500 * 0.3 + 300 * 3.75 + 250 * 15) / 1e6


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Return a provider."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def priced(recorded: Recorded, event_store: str, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Recorded:
    """Return `recorded`, of an SDK that knows prices, with the clients' library hooked."""
    folder = str(tmp_path_factory.mktemp("spool"))
    assert platform_sdk.init(dsn=event_store, app=request.node.nodeid, spool_folder=folder, prices=PRICES)
    hook.install()
    return recorded


@pytest.fixture
def gpt(server: ModelServer) -> Iterator[openai.OpenAI]:
    """Return OpenAI's client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=3) as client:
        yield client


@pytest.fixture
def claude(server: ModelServer) -> Iterator[anthropic.Anthropic]:
    """Return Anthropic's client."""
    with anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=3) as client:
        yield client


def used(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of the tokens, without those nobody knows."""
    return {name: row[name] for name in COUNTS if row[name] is not None}


def of(usage: ModelUsage) -> dict[str, Any]:
    """Return the same of what was billed."""
    return {name: value for name in COUNTS if (value := getattr(usage, name)) is not None}


def ask_claude(claude: anthropic.Anthropic, text: str = "hello?") -> str:
    """Stream an answer; return its text."""
    with claude.messages.stream(max_tokens=9, model=CLAUDE, messages=[{"role": "user", "content": text}]) as stream:
        return "".join(stream.text_stream)


def test_chat(server: ModelServer, gpt: openai.OpenAI, priced: Recorded) -> None:
    """Model, tokens by kind and cost, by the model's price without its date."""
    answer = gpt.chat.completions.create(model="gpt-4o", messages=QUESTION)
    [row] = priced()

    assert answer.choices[0].message.content == 'she said "usage": {"prompt_tokens": 9}'
    assert (row["model"], row["operation"], row["first_token_seconds"]) == (OPENAI, "chat", None)
    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_CHAT)


def test_streamed_chat(server: ModelServer, gpt: openai.OpenAI, priced: Recorded) -> None:
    """The last chunk says it; the time to the first one is known, and the application gets all of them."""
    stream = gpt.chat.completions.create(
        model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    words = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    [row] = priced()

    assert words == ["she", " said", ' "usage": {"prompt_tokens": 9}']
    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_CHAT)
    assert 0 < row["first_token_seconds"] <= row["duration_seconds"]


def test_a_stream_that_does_not_say_it(gpt: openai.OpenAI, priced: Recorded) -> None:
    """The model is known, tokens and cost are not: no request is changed to ask for them."""
    for _ in gpt.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True):
        pass
    [row] = priced()

    assert (row["model"], used(row), row["cost"]) == (OPENAI, {}, None)


@pytest.mark.parametrize("streamed", [False, True])
def test_responses(server: ModelServer, gpt: openai.OpenAI, priced: Recorded, streamed: bool) -> None:
    """Of OpenAI's newer protocol, too."""
    answer = gpt.responses.create(model="gpt-4o", input="hello?", stream=streamed)
    if streamed:
        assert [event.type for event in answer] == ["response.created", "response.completed"]
    [row] = priced()

    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx((500 * 2.5 + 60 * 10) / 1e6)


def test_embeddings(server: ModelServer, gpt: openai.OpenAI, priced: Recorded) -> None:
    """A long zipped answer ends with the tokens; the cost of a model without a price is unknown."""
    assert len(gpt.embeddings.create(model=EMBEDDER, input="hello", encoding_format="float").data) == 200
    [row] = priced()

    assert (row["model"], row["operation"], row["cost"]) == (EMBEDDER, "embeddings", None)
    assert used(row) == of(server.billed[0])


def test_message(server: ModelServer, claude: anthropic.Anthropic, priced: Recorded) -> None:
    """The tokens of the cache are among the input's, as OpenTelemetry has it."""
    claude.messages.create(max_tokens=9, model=CLAUDE, messages=QUESTION)
    [row] = priced()

    assert (row["model"], row["service_tier"]) == (CLAUDE, "standard")
    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_MESSAGE)


def test_streamed_message(server: ModelServer, claude: anthropic.Anthropic, priced: Recorded) -> None:
    """The first event says what was given, the last ones what was answered."""
    assert ask_claude(claude) == "hello"
    [row] = priced()

    assert used(row) == of(server.billed[0])
    assert row["cost"] == pytest.approx(COST_OF_MESSAGE)


def test_an_error_within_a_stream(claude: anthropic.Anthropic, priced: Recorded) -> None:
    """It is a failure, though the status was 200; what was answered before it is unknown."""
    with pytest.raises(anthropic.APIStatusError):
        ask_claude(claude, "break")
    [row] = priced()

    assert (row["outcome"], row["reason"], row["status"]) == ("failure", "server_error", 200)
    assert (row["error_type"], row["output_tokens"], row["cost"]) == ("overloaded_error", None, None)


def test_a_stream_that_is_left(claude: anthropic.Anthropic, priced: Recorded) -> None:
    """What was given is known, what would have been billed of the answer is not."""
    with claude.messages.stream(max_tokens=9, model=CLAUDE, messages=QUESTION) as stream:
        next(iter(stream))
    [row] = priced()

    assert (row["input_tokens"], row["output_tokens"], row["cost"]) == (2000, None, None)


def test_retries_are_rows_of_their_own(server: ModelServer, claude: anthropic.Anthropic, priced: Recorded) -> None:
    """Only the one that was answered was billed."""
    server.failing = 2
    claude.messages.create(max_tokens=9, model=CLAUDE, messages=QUESTION)
    rows = priced()

    assert [(row["attempt"], row["status"], row["error_type"]) for row in rows] == [
        (1, 529, "overloaded_error"), (2, 529, "overloaded_error"), (3, 200, None),
    ]  # fmt: skip
    assert [row["model"] for row in rows] == [CLAUDE] * 3
    assert [used(row) for row in rows] == [{}, {}, of(server.billed[0])]


def test_an_error_by_kind(gpt: openai.OpenAI, priced: Recorded) -> None:
    """The provider's code, and the model that was asked for."""
    with pytest.raises(openai.BadRequestError):
        gpt.chat.completions.create(model="too-long", messages=QUESTION)
    [row] = priced()

    assert (row["model"], row["reason"], row["error_type"]) == ("too-long", "client_error", "context_length_exceeded")


def test_asynchronous_clients(server: ModelServer, priced: Recorded) -> None:
    """At once, each with its own tokens."""

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k") as client:
            calls = (client.chat.completions.create(model="gpt-4o", messages=QUESTION) for _ in range(5))
            await asyncio.gather(*calls)

    asyncio.run(ask())

    assert [used(row) for row in priced()] == [of(usage) for usage in server.billed]


def test_calls_within_a_monitor(server: ModelServer, gpt: openai.OpenAI, priced: Recorded) -> None:
    """They are one row, with what all of them used."""
    with platform_sdk.APIMonitor("answers"):
        for _ in range(2):
            gpt.chat.completions.create(model="gpt-4o", messages=QUESTION)
    [row] = priced()

    assert (row["api"], row["input_tokens"]) == ("answers", sum(usage.input_tokens or 0 for usage in server.billed))
    assert row["cost"] == pytest.approx(2 * COST_OF_CHAT)


ORDERS = pytest.mark.parametrize("backwards", [False, True])


@ORDERS
def test_models_within_a_monitor(
    gpt: openai.OpenAI, claude: anthropic.Anthropic, priced: Recorded, backwards: bool
) -> None:
    """Each call has its own model's price, in whichever order; the row is named after the one that cost most."""
    calls = [lambda: gpt.chat.completions.create(model="gpt-4o", messages=QUESTION), lambda: ask_claude(claude)]
    with platform_sdk.APIMonitor("answers"):
        for call in calls[::-1] if backwards else calls:
            call()
    [row] = priced()

    assert row["cost"] == pytest.approx(COST_OF_CHAT + COST_OF_MESSAGE)
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == (CLAUDE, 3000, 550)


@ORDERS
def test_a_model_without_a_price_within_a_monitor(gpt: openai.OpenAI, priced: Recorded, backwards: bool) -> None:
    """What all of them cost is unknown then, and the row is named after the model that needs a price."""
    calls = [
        lambda: gpt.chat.completions.create(model="gpt-4o", messages=QUESTION),
        lambda: gpt.embeddings.create(model=EMBEDDER, input="hello", encoding_format="float"),
    ]
    with platform_sdk.APIMonitor("answers"):
        for call in calls[::-1] if backwards else calls:
            call()
    [row] = priced()

    assert (row["model"], row["operation"], row["cost"]) == (EMBEDDER, "embeddings", None)
    assert (row["input_tokens"], row["output_tokens"]) == (1008, 300)


def test_failed_calls_within_a_monitor_cost_nothing(server: ModelServer, gpt: openai.OpenAI, priced: Recorded) -> None:
    """Retries that were not answered were not billed."""
    server.failing = 2
    with platform_sdk.APIMonitor("answers"):
        gpt.chat.completions.create(model="gpt-4o", messages=QUESTION)
    [row] = priced()

    assert (row["model"], row["error_type"]) == (OPENAI, None)
    assert row["cost"] == pytest.approx(COST_OF_CHAT)


@pytest.mark.parametrize("query", ["?alt=sse", ""])
def test_streams_of_gemini(server: ModelServer, priced: Recorded, query: str) -> None:
    """As events or as an array, also where a text contains what Unicode calls the end of a line."""
    httpx_hook.install()
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{server.url}/v1beta/models/{GEMINI}:streamGenerateContent{query}", json={})
    [row] = priced()

    assert "a\u2028b\u2029c\u0085d" in answer.text
    assert row["model"] == GEMINI
    assert used(row) == of(server.billed[0])


def test_an_array_of_gemini_that_is_left(server: ModelServer, priced: Recorded) -> None:
    """What was given is known, what would have been billed of the answer is not."""
    httpx_hook.install()
    url = f"{server.url}/v1beta/models/{GEMINI}:streamGenerateContent"
    with httpx.Client(trust_env=False) as client, client.stream("POST", url, json={}) as response:
        read = ""
        for piece in response.iter_text(1):
            read += piece
            if read.endswith(",\r\n"):
                break
    [row] = priced()

    assert (row["model"], row["input_tokens"], row["output_tokens"]) == (GEMINI, 100, None)


def test_plain_httpx(server: ModelServer, priced: Recorded) -> None:
    """Whoever speaks the protocol without a client of the provider's is recorded alike."""
    httpx_hook.install()
    with httpx.Client(trust_env=False) as client:
        client.post(f"{server.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": QUESTION})
    [row] = priced()

    assert used(row) == of(server.billed[0])


def test_counters_equal_what_was_billed(
    server: ModelServer, gpt: openai.OpenAI, claude: anthropic.Anthropic, priced: Recorded, postgres: Postgres
) -> None:
    """Tokens by kind and model, and the cost, of calls of every sort, failed and repeated ones among them."""
    for number in range(6):
        server.failing = number % 3
        gpt.chat.completions.create(model="gpt-4o", messages=QUESTION)
        ask_claude(claude)
        gpt.embeddings.create(model=EMBEDDER, input="hello", encoding_format="float")
    app = priced()[0]["app"]
    store = Store(make_conninfo(postgres.dsn, dbname=DATABASE))
    store.poll("api_call")
    billed: Counter[tuple[str, str]] = Counter()
    for usage in server.billed:
        billed.update({(usage.model, name): value for name, value in of(usage).items()})

    found = {
        (model, name): store.value(f"platform_gen_ai_{name}_total", app=app, model=model)
        for model in (OPENAI, CLAUDE, EMBEDDER)
        for name in COUNTS
    }
    assert {key: value for key, value in found.items() if value} == {
        key: value for key, value in billed.items() if value
    }
    assert store.value("platform_gen_ai_cost_total", app=app, model=OPENAI) == pytest.approx(6 * COST_OF_CHAT)
    assert store.value("platform_gen_ai_cost_total", app=app, model=CLAUDE) == pytest.approx(6 * COST_OF_MESSAGE)
    assert store.value("platform_gen_ai_unpriced_calls_total", app=app, model=EMBEDDER) == 6
    assert store.value("platform_gen_ai_failures_total", app=app, error_type="overloaded_error") == 6
