"""Stand for the body a WSGI application returned, and learn how it ended."""

from collections.abc import Iterator
from typing import Any, Protocol

from platform_sdk import request_context


class Follower(request_context.Served, Protocol):
    """Who wants to know: the exchange."""

    size: int | None

    def closed(self, *, exhausted: bool, error: BaseException | None) -> None:
        """Take note that the server has closed the body."""


class Body:
    """Stand for what an application returned: iterate it, close it, and tell the exchange."""

    __slots__ = ("_error", "_exchange", "_exhausted", "_iterator", "_result")

    def __init__(self, exchange: Follower, result: Any) -> None:
        self._exchange = exchange
        self._result = result
        self._iterator: Iterator[bytes] | None = None
        self._exhausted = False
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = request_context.current.set(self._exchange)
        try:
            if self._iterator is None:
                self._iterator = iter(self._result)
            chunk = next(self._iterator)
        except StopIteration:
            self._exhausted = True
            raise
        except BaseException as error:
            self._error = error
            raise
        finally:
            request_context.current.reset(token)
        size = self._exchange.size
        if size is not None:
            self._exchange.size = size + len(chunk)
        return chunk

    def close(self) -> None:
        """Close what the application returned. The server calls it however the response ended."""
        error = self._error
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        except BaseException as closing:
            error = closing
            raise
        finally:
            self._error = None
            self._exchange.closed(exhausted=self._exhausted, error=error)


class SizedBody(Body):
    """Stand for what has a length: some servers make a Content-Length of a body of one piece."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._result)
