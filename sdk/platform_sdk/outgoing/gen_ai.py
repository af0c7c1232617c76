"""What a language model's API says of a call: its model, tokens and errors, whole or streamed.

Known are the answers of OpenAI (chat completions, responses, completions, embeddings) and of all that speak its
protocol, of Anthropic (messages), and of Gemini (generateContent); by the path, on any host. Bodies are read as they
pass: the application sees each byte when it comes, nothing is read that it does not read, and no request is changed, so
a stream says what it used only where the provider tells (OpenAI: `stream_options={"include_usage": True}`).
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from time import perf_counter
from typing import Any

from platform_sdk.model_usage import ModelUsage

_OPERATIONS = (
    ("/chat/completions", "chat"), ("/messages", "chat"), ("/responses", "chat"), ("/embeddings", "embeddings"),
    ("/completions", "text_completion"), (":generateContent", "generate_content"),
    (":streamGenerateContent", "generate_content"),
)  # fmt: skip
HEAD_BYTES, TAIL_BYTES = 2**16, 2**20
"""What is kept of a body: where it names the model, and where it ends with what was used."""
LONGEST_REQUEST = 2**20

_NAMED = re.compile(r"[a-z][a-z0-9_.]{0,59}")
_LAST = re.compile(
    r"^(?:data: ?\[DONE\]|event: ?(?:message_stop|response\.(?:completed|incomplete|failed)))", re.MULTILINE
)
"""What a stream says last; clients close it then, and do not read its end."""


def operation_of(method: str, path: str) -> str | None:
    """Return which operation of a model a request asks for, None for any other request."""
    if method != "POST":
        return None
    path = path.rstrip("/")
    return next((name for end, name in _OPERATIONS if path.endswith(end)), None)


class Answer:
    """A model's answer while it passes. Nothing here may be slow: it runs in the application's thread."""

    def __init__(self, operation: str, request: object, path: str) -> None:
        self._operation, self._path = operation, path
        self._request: str | bytes | bytearray | None = request if isinstance(request, str | bytes) else None
        self._kept = bytearray()
        self._streamed = False
        self._decode: Callable[[bytes], bytes] | None = _plain
        self._began = perf_counter()
        self._first: float | None = None

    def again(self) -> "Answer":
        """Return the answer to the same request, sent again."""
        return Answer(self._operation, self._request, self._path)

    def sent(self, chunk: bytes) -> None:
        """Take a part of the request that was sent."""
        if not isinstance(self._request, bytearray):
            self._request = bytearray()
        if len(self._request) <= LONGEST_REQUEST:
            self._request += chunk

    def headed(self, headers: Mapping[str, str]) -> None:
        """Take the head of the response."""
        kind = headers.get("content-type") or ""
        self._streamed = "event-stream" in kind
        self._decode = decoder_of((headers.get("content-encoding") or "identity").lower())

    def decoded(self) -> None:
        """Note that the library decodes what comes of the body."""
        self._decode = _plain

    def begun(self) -> None:
        """Note that the body has begun to come."""
        if self._first is None:
            self._first = perf_counter() - self._began

    def received(self, chunk: bytes) -> None:
        """Take a part of the body."""
        self.begun()
        self.took(chunk)

    def took(self, chunk: bytes) -> None:
        """Take a part of the body that may have come earlier: when, nobody knows."""
        if self._decode is None:
            return
        kept = self._kept
        kept += self._decode(chunk)
        if len(kept) > HEAD_BYTES + 2 * TAIL_BYTES:
            del kept[HEAD_BYTES:-TAIL_BYTES]

    def usage(self, *, whole: bool) -> ModelUsage | None:
        """Return what the call used, None where no model was called; `whole` says that the body was read whole.

        How much a stream that the application left had to say, only the provider knows.
        """
        found: dict[str, Any] = {}
        text = self._kept.decode("utf-8", "replace")
        for part in self._parts(text):
            _take(part, found)
        if not whole and self._goes_on(text):
            found.pop("output_tokens", None)
        model = found.pop("model", None) or self._requested()
        if model is None:
            return None
        first = self._first if self._streamed else None
        return ModelUsage(model=model, operation=self._operation, first_token_seconds=first, **found)

    def _parts(self, text: str) -> Iterator[Any]:
        """Yield the JSON objects of the body that may say what was used."""
        if not self._streamed:
            parsed = _whole(text)
            yield from parsed if isinstance(parsed, list) else (parsed,)  # a stream of Gemini's without alt=sse
            return
        # Not splitlines: U+2028, U+2029 and U+0085 are parts of the texts within.
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            if line.startswith("data:") and any(word in line for word in ('"usage', '"error"', '"model')):
                yield _parsed(line[5:])

    def _goes_on(self, text: str) -> bool:
        """Tell whether a stream, of which this came, was not at its end."""
        if self._streamed:
            return not _LAST.search(text)
        return self._path.rstrip("/").endswith(":streamGenerateContent") and not text.rstrip().endswith("]")

    def _requested(self) -> str | None:
        """Return the model that the request named."""
        if self._operation == "generate_content":
            return self._path.rpartition("/")[2].partition(":")[0] or None
        if self._request is None or len(self._request) > LONGEST_REQUEST:
            return None
        asked = _parsed(self._request)
        model = asked.get("model") if isinstance(asked, dict) else None
        return model if isinstance(model, str) else None


def _plain(chunk: bytes) -> bytes:
    return chunk


def decoder_of(encoding: str) -> Callable[[bytes], bytes] | None:
    """Return what decodes a body in parts, None for what only the application can read.

    A client asks for br and zstd where it has a library for them.
    """
    if encoding == "identity":
        return _plain
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress
    try:
        if encoding == "br":
            brotli = import_module("brotli").Decompressor()
            return getattr(brotli, "decompress", None) or brotli.process  # type: ignore[no-any-return]
        if encoding == "zstd":
            return import_module("zstandard").ZstdDecompressor().decompressobj().decompress  # type: ignore[no-any-return]
    except ImportError:
        pass
    return None


def _whole(text: str) -> Any:
    """Return the body's object; of one too long to be kept whole its model and usage."""
    parsed = _parsed(text)
    if parsed is not None:
        return parsed
    found: dict[str, Any] = {}
    for name in ("model", "modelVersion", "usage", "usageMetadata", "service_tier"):
        for place in re.finditer(rf'(?<!\\)"{name}"\s*:\s*', text):
            try:
                found[name] = json.JSONDecoder().raw_decode(text, place.end())[0]
            except ValueError:
                continue
    return found


def _parsed(text: str | bytes | bytearray) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _take(part: Any, found: dict[str, Any]) -> None:
    """Add what one object says; Anthropic's and OpenAI's streams have it in `message` and `response`."""
    if not isinstance(part, dict):
        return
    for inner in ("message", "response"):
        if isinstance(part.get(inner), dict):
            _take(part[inner], found)
    model = part.get("model") or part.get("modelVersion")
    if isinstance(model, str):
        found["model"] = model
    if isinstance(part.get("error"), dict):
        found["error_type"] = _error_type(part["error"])
    tier = part.get("service_tier")
    if isinstance(tier, str):
        found["service_tier"] = tier
    for name in ("usage", "usageMetadata"):
        if isinstance(part.get(name), dict):
            _take_usage(part[name], found)


def _take_usage(usage: dict[str, Any], found: dict[str, Any]) -> None:
    """Add a provider's own numbers under OpenTelemetry's names; a later number replaces an earlier one."""
    values = {
        "input_tokens": _number(usage, "input_tokens", "prompt_tokens", "promptTokenCount"),
        "output_tokens": _number(usage, "output_tokens", "completion_tokens", "candidatesTokenCount"),
        "cache_read_tokens": _number(usage, "cache_read_input_tokens", "cachedContentTokenCount"),
        "cache_creation_tokens": _number(usage, "cache_creation_input_tokens"),
        "reasoning_tokens": _number(usage, "thoughtsTokenCount"),
    }
    for name in ("input_tokens_details", "prompt_tokens_details"):
        if isinstance(usage.get(name), dict):
            values["cache_read_tokens"] = _number(usage[name], "cached_tokens")
    for name in ("output_tokens_details", "completion_tokens_details"):
        if isinstance(usage.get(name), dict):
            values["reasoning_tokens"] = _number(usage[name], "reasoning_tokens")
    if values["input_tokens"] is not None:  # Anthropic's are without those of the cache
        values["input_tokens"] += _number(usage, "cache_read_input_tokens") or 0
        values["input_tokens"] += _number(usage, "cache_creation_input_tokens") or 0
    if "thoughtsTokenCount" in usage:  # Gemini's answer is without its thoughts
        values["output_tokens"] = (values["output_tokens"] or 0) + (values["reasoning_tokens"] or 0)
    found.update({name: value for name, value in values.items() if value is not None})
    if isinstance(usage.get("service_tier"), str):
        found["service_tier"] = usage["service_tier"]


def _number(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _error_type(error: dict[str, Any]) -> str:
    """Return the provider's word for an error: OpenAI's code is more exact than its type."""
    named = [word for name in ("code", "type", "status") if isinstance(word := error.get(name), str)]
    return next((word.lower() for word in named if _NAMED.fullmatch(word.lower())), "other")
