"""Follow a Django response that streams."""

from collections.abc import AsyncIterator, Iterator
from time import perf_counter
from typing import Any, Protocol

from platform_sdk import request_context
from platform_sdk.delivery.intake import Intake
from platform_sdk.request_context import Served
from platform_sdk.web.record import CLIENT_GONE, lose


class Layer(Protocol):
    """What a stream needs of the middleware."""

    def emit(
        self, request: Any, status: int, size: int | None, begun: float, intake: Intake,
        error: BaseException | None = None, first_byte_seconds: float | None = None,
    ) -> None:  # fmt: skip
        """Emit the request that the response belongs to."""


class Stream:
    """Follow a streaming response: its content and headers stay as they are, it tells what is taken from it."""

    def __init__(
        self, layer: Layer, request: Any, response: Any, begun: float, intake: Intake, served: Served
    ) -> None:  # fmt: skip
        self._layer = layer
        self.served = served
        self._request = request
        self._response = response
        self._begun = begun
        self._first_byte_seconds = perf_counter() - begun
        self._intake = intake
        self.size = 0
        self.started = self.exhausted = False
        self.error: BaseException | None = None
        # Not by the property: that would make a FileResponse forget its file, which servers send by sendfile(2).
        response._iterator = (_AsyncParts if response.is_async else _Parts)(self, response._iterator)
        # Called at the end by all servers, however it ended.
        response._resource_closers.append(self.close)

    def failed(self, error: BaseException) -> None:
        """Emit the request: where a part fails, Django's ASGI handler never closes the response."""
        self.error = error
        self.close()

    def close(self) -> None:
        """Emit the request, once."""
        if self._response is None:
            return
        try:
            response, status, error = self._response, self._response.status_code, self.error
            if error is not None:
                given_up = type(error).__name__ in ("CancelledError", "GeneratorExit")
                status = CLIENT_GONE if given_up else 500
            elif self.started and not self.exhausted and self._request.method != "HEAD":
                status = CLIENT_GONE
            size: int | None = self.size
            if not self.started:  # a server that has sent the file itself
                size = int(response["Content-Length"]) if response.has_header("Content-Length") else None
            self._layer.emit(self._request, status, size, self._begun, self._intake, error, self._first_byte_seconds)
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(self._intake, "django", trouble)
        finally:
            self.error = self._response = None


class _Parts:
    """Pass a stream's parts on."""

    def __init__(self, stream: Stream, iterator: Iterator[Any]) -> None:
        self._stream = stream
        self._iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        stream = self._stream
        stream.started = True
        token = request_context.current.set(stream.served)
        try:
            part = next(self._iterator)
        except StopIteration:
            stream.exhausted = True
            raise
        except BaseException as error:
            stream.failed(error)
            raise
        finally:
            request_context.current.reset(token)
        stream.size += len(part)
        return part


class _AsyncParts:
    """Pass an asynchronous stream's parts on."""

    def __init__(self, stream: Stream, iterator: AsyncIterator[Any]) -> None:
        self._stream = stream
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        stream = self._stream
        stream.started = True
        token = request_context.current.set(stream.served)
        try:
            part = await anext(self._iterator)
        except StopAsyncIteration:
            stream.exhausted = True
            raise
        except BaseException as error:
            stream.failed(error)
            raise
        finally:
            request_context.current.reset(token)
        stream.size += len(part)
        return part
