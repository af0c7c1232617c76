"""Time a call to an outside API and tell how it ended."""

import functools
import inspect
from collections.abc import Callable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Any, Never, Self, TypeVar, cast

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.outgoing import outcomes, rate_limits, watcher

Function = TypeVar("Function", bound=Callable[..., Any])


class APIMonitor:
    """Be a context manager, an async context manager, or a decorator of functions and coroutine functions.

        with APIMonitor("semantic_scholar", endpoint_url, query_params) as call:
            response = requests.get(endpoint_url, params=query_params)
            call.response(response)

    A call that a hook of `platform_sdk.outgoing` sees too is recorded once, here, with the status that the hook saw.
    Without hook, `response` or `status` a call that raises nothing is a success. `blocked` is asked for each response
    that is no error by its status, whether it is useless all the same (a captcha page, an empty result). Exceptions of
    the application pass through; those of the monitor's own are counted and go no further.
    """

    def __init__(
        self,
        api: str = "unknown",
        endpoint: str | None = None,
        params: Mapping[str, Any] | None = None,
        *surplus: Never,
        method: str | None = None,
        attempt: int = 1,
        cost: float | None = None,
        blocked: Callable[[Any], bool] | None = None,
        **unknown: Never,
    ) -> None:
        """Arguments beyond these are counted and logged, and the call is recorded without them."""
        if (surplus or unknown) and client.current is not None:
            names = ", ".join(unknown) or f"{len(surplus)} more than api, endpoint and params"
            client.current.fail("APIMonitor", TypeError(f"unexpected arguments: {names}"))
        self._given = (api, endpoint, params)
        self._options: dict[str, Any] = {"method": method, "attempt": attempt, "cost": cost, "blocked": blocked}
        self._begin()

    def _begin(self) -> None:
        self._by_hand = False
        self._status: int | None = None
        self._reason: str | None = None
        self._bytes: int | None = None
        self._limits: tuple[float | None, float | None] = (None, None)
        self._began = perf_counter()

    def response(self, response: Any) -> Any:
        """Read status, size and rate limit of a response (requests, httpx, aiohttp, urllib ...); return it."""
        try:
            self._by_hand = True
            self._read(response)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("APIMonitor", error)
        return response

    def status(self, code: int) -> None:
        """Tell the response's status code, where there is no response to hand over."""
        try:
            self._by_hand, self._status = True, int(code)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("APIMonitor", error)

    def failed(self, reason: str) -> None:
        """Tell that the call failed, and why, whatever its status says; reasons are those of `emit.api_call`."""
        self._reason = reason

    def told(
        self, status: int | None, reason: str | None, size: int | None, limits: tuple[float | None, float | None]
    ) -> None:
        """Take what a hook saw of the call, unless `response` or `status` said it."""
        if not self._by_hand:
            self._status, self._bytes, self._limits = status, size, limits
            self._reason = reason if reason == "blocked" else self._reason

    def _read(self, response: Any) -> None:
        self._status = outcomes.status_of(response)
        headers = getattr(response, "headers", None)
        if headers is not None:
            self._limits = rate_limits.read(headers)
            length = headers.get("content-length") or headers.get("Content-Length")
            self._bytes = int(length) if length and str(length).isdigit() else None
        blocked = self._options["blocked"]
        if blocked is not None and outcomes.reason_of_status(self._status) is None and blocked(response):
            self._reason = "blocked"

    def _finish(self, exc: BaseException | None) -> None:
        duration = perf_counter() - self._began
        try:
            reason, status = self._reason, self._status
            if reason is None and exc is not None and not isinstance(exc, GeneratorExit):
                reason, told = outcomes.reason_of_exception(exc)
                status = status if status is not None else told
            if reason is None:
                reason = outcomes.reason_of_status(status)
            api, endpoint, params = self._given
            emit.api_call(
                api, endpoint, "success" if reason is None else "failure", duration,
                method=self._options["method"], status=status, reason=reason, attempt=self._options["attempt"],
                response_bytes=self._bytes, query=params, cost=self._options["cost"],
                rate_limit_remaining=self._limits[0], rate_limit_reset=self._limits[1],
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - never into the application
            note("APIMonitor", error)

    def __enter__(self) -> Self:
        self._begin()
        self._token = watcher.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        watcher.end(self._token)
        self._finish(exc)

    async def __aenter__(self) -> Self:
        self._begin()
        self._token = watcher.begin(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        watcher.end(self._token)
        self._finish(exc)

    def __call__(self, function: Function) -> Function:
        """Monitor each call of `function`, with a monitor of its own; a returned response is read."""

        def fresh() -> APIMonitor:
            return type(self)(*self._given, **self._options)

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            async with fresh() as monitor:
                return monitor._returned(await function(*args, **kwargs))

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with fresh() as monitor:
                return monitor._returned(function(*args, **kwargs))

        return cast(Function, coroutine if inspect.iscoroutinefunction(function) else plain)

    def _returned(self, value: Any) -> Any:
        if self._status is None and outcomes.status_of(value) is not None and hasattr(value, "headers"):
            self.response(value)
        return value
