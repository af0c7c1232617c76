"""The APIs of OpenAI, Anthropic and Gemini on loopback: answers as their documents show them, whole and streamed."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import brotli

from platform_sdk.model_usage import ModelUsage

OPENAI, CLAUDE, EMBEDDER = "gpt-4o-2024-08-06", "claude-sonnet-4-20250514", "text-embedding-3-small"
GEMINI = "gemini-2.0-flash"


class ModelServer:
    """The server. `billed` is what it charged; `failing` how many of the next calls it answers with 529."""

    def __init__(self) -> None:
        self.billed: list[ModelUsage] = []
        self.failing = 0
        self.go_on = threading.Event()
        server = self

        class Handler(_Handler):
            owner = server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: ModelServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.owner.failing:
            self.owner.failing -= 1
            self._answer(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        elif ":streamGenerateContent" in self.path:
            self._gemini()
        elif asked["model"] == "too-long":
            error = {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "m", "param": None}
            self._answer(400, {"error": error})
        elif self.path.endswith("/embeddings"):
            self._embeddings()
        elif self.path.endswith("/messages"):
            self._messages(asked)
        elif self.path.endswith("/responses"):
            self._responses(asked)
        else:
            self._chat(asked)

    def _bill(self, model: str, given: int, answered: int | None = None, **more: Any) -> None:
        self.owner.billed.append(ModelUsage(model, input_tokens=given, output_tokens=answered, **more))

    def _embeddings(self) -> None:
        self._bill(EMBEDDER, 8, operation="embeddings")
        row = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25] * 700}
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        self._answer(200, {"object": "list", "data": [row] * 200, "model": EMBEDDER, "usage": usage}, zipped=True)

    def _chat(self, asked: Mapping[str, Any]) -> None:
        self._bill(OPENAI, 1000, 300, cache_read_tokens=400, reasoning_tokens=100)
        usage = {
            "prompt_tokens": 1000, "completion_tokens": 300, "total_tokens": 1300,
            "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 100},
        }  # fmt: skip
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": OPENAI}
        text = 'she said "usage": {"prompt_tokens": 9}'
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            self._answer(200, {**head, "choices": [choice], "usage": usage, "service_tier": "default"})
            return
        head["object"] = "chat.completion.chunk"
        parts = [
            {**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}], "usage": None}
            for word in ("she", " said", ' "usage": {"prompt_tokens": 9}')
        ]
        if (asked.get("stream_options") or {}).get("include_usage"):
            parts.append({**head, "choices": [], "usage": usage})
        self._stream([f"data: {json.dumps(part)}\n\n" for part in parts] + ["data: [DONE]\n\n"])

    def _responses(self, asked: Mapping[str, Any]) -> None:
        self._bill(OPENAI, 500, 60, cache_read_tokens=0, reasoning_tokens=20)
        content = [{"type": "output_text", "text": "hello", "annotations": []}]
        answer = {
            "id": "r1", "object": "response", "created_at": 1, "model": OPENAI, "status": "completed", "error": None,
            "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}],
            "usage": {
                "input_tokens": 500, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 60,
                "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 560,
            },
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {},
        }  # fmt: skip
        if not asked.get("stream"):
            self._answer(200, answer)
            return
        created = {"type": "response.created", "sequence_number": 0, "response": {**answer, "usage": None}}
        completed = {"type": "response.completed", "sequence_number": 1, "response": answer}
        self._stream([f"event: {part['type']}\ndata: {json.dumps(part)}\n\n" for part in (created, completed)])

    def _messages(self, asked: Mapping[str, Any]) -> None:
        self._bill(CLAUDE, 2000, 250, cache_read_tokens=1500, cache_creation_tokens=300, service_tier="standard")
        usage = {
            "input_tokens": 200, "cache_read_input_tokens": 1500, "cache_creation_input_tokens": 300,
            "output_tokens": 250, "service_tier": "standard",
        }  # fmt: skip
        answer: dict[str, Any] = {
            "id": "m1", "type": "message", "role": "assistant", "model": CLAUDE, "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": "hello"}], "usage": usage,
        }  # fmt: skip
        if not asked.get("stream"):
            self._answer(200, answer)
            return
        start = {**answer, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
        ]
        if asked["messages"][0]["content"] == "break":
            events.append({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        else:
            events += [
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 250}},
                {"type": "message_stop"},
            ]
        texts = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        if asked["messages"][0]["content"] == "cut":
            self._stream(texts[:3], cut=True)
        else:
            self._stream(texts)

    def _gemini(self) -> None:
        """Answer in two parts: as a stream of events, or without alt=sse as an array. No character is escaped."""
        self._bill(GEMINI, 100, 47, operation="generate_content", reasoning_tokens=7)
        parts = [
            {
                "candidates": [{"content": {"parts": [{"text": "a\u2028b\u2029c\u0085d"}], "role": "model"}}],
                "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": answered, "thoughtsTokenCount": 7},
                "modelVersion": GEMINI,
            }
            for answered in (5, 40)
        ]
        texts = [json.dumps(part, ensure_ascii=False) for part in parts]
        if self.path.endswith("alt=sse"):
            self._stream([f"data: {text}\r\n\r\n" for text in texts])
        else:
            self._stream([f"[{texts[0]}\n", f",\r\n{texts[1]}", "]"], kind="application/json")

    def _answer(self, status: int, body: object, *, zipped: bool = False) -> None:
        content = json.dumps(body).encode()
        encoding = "br" if self.headers["Accept-Encoding"] == "br" else "gzip"
        if zipped:
            content = brotli.compress(content) if encoding == "br" else gzip.compress(content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if zipped:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, events: list[str], *, cut: bool = False, kind: str = "text/event-stream") -> None:
        """Send events; `cut` breaks off in place of the end."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in self._chunks(events):
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            if cut:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def _chunks(self, events: list[str]) -> Iterator[bytes]:
        """Yield the events, not cut where they end."""
        content = "".join(events).encode()
        for place in range(0, len(content), 97):
            yield content[place : place + 97]

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
