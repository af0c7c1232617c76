"""The body of a streaming response, followed while the server takes it."""

from collections.abc import Callable
from typing import Any, Self

from platform_sdk import request_context


class _Followed:
    """What was taken of a body, and how it ended; `complete` is None before the first part, True after the last."""

    __slots__ = ("_body", "_iterator", "_on_error", "_request", "complete", "error", "parts", "size")

    def __init__(
        self, request: request_context.ServedRequest, body: Any, on_error: Callable[[], None] | None = None
    ) -> None:
        self._request = request
        self._body = body
        self._iterator: Any = None
        self._on_error = on_error
        self.complete: bool | None = None
        self.error: BaseException | None = None
        self.size = self.parts = 0

    def _failed(self, error: BaseException) -> None:
        self.error = error
        if self._on_error is not None:
            self._on_error()


class Parts(_Followed):
    """A body's parts, each made within the context of its request."""

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self.complete = False
        token = request_context.current.set(self._request)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            part = next(self._iterator)
        except StopIteration:
            self.complete = True
            raise
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            request_context.current.reset(token)
        self.size += len(part)
        self.parts += 1
        return part


class AsyncParts(_Followed):
    """An asynchronous body's parts, each made within the context of its request."""

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        self.complete = False
        token = request_context.current.set(self._request)
        try:
            part = await anext(self._body)
        except StopAsyncIteration:
            self.complete = True
            raise
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            request_context.current.reset(token)
        self.size += len(part)
        self.parts += 1
        return part
