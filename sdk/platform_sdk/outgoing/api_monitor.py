"""A call to an external API, timed and recorded by the application itself."""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from time import perf_counter
from typing import TYPE_CHECKING, Any, Never, Self, TypeVar, cast

from platform_sdk import client, emit
from platform_sdk.arguments import checked
from platform_sdk.capture.context import plain_text
from platform_sdk.diagnostics import note, unfailing_methods
from platform_sdk.outgoing import outcomes, rate_limits
from platform_sdk.outgoing.rate_limits import Window
from platform_sdk.parsing import size_of

if TYPE_CHECKING:
    from platform_sdk.model_usage import Bill, ModelUsage

Function = TypeVar("Function", bound=Callable[..., Any])

current: ContextVar["APIMonitor | None"] = ContextVar("platform_sdk_monitor", default=None)
"""The innermost monitor: exchanges that hooks see are reported to it, instead of being recorded."""


@unfailing_methods(noted=client.refuse)
class APIMonitor:
    """A context manager, an async context manager, and a decorator of functions and coroutine functions.

        with APIMonitor("semantic_scholar", endpoint_url, query_params) as call:
            response = requests.get(endpoint_url, params=query_params)
            call.response(response)

    A call that a hook of `platform_sdk.outgoing` sees too is recorded once, here, with the status that the hook saw.
    Without hook, `response` or `status` a call that raises nothing is a success. `blocked` is asked about each response
    whose status is not an error, whether it is useless all the same (a captcha page, an empty result). The
    application's exceptions pass through; the monitor's own are counted and go no further.
    """

    @checked
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
        self._token: Token[APIMonitor | None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._reported = False
        self._status: int | None = None
        self._reason: str | None = None
        self._bytes: int | None = None
        self._bill: Bill | None = None
        self._limits: dict[str, Window] = {}
        self._began = perf_counter()
        self.duration_seconds = 0.0
        """How long the call took, once it ended."""

    def response(self, response: Any) -> Any:
        """Read status, size and rate limit of a response (requests, httpx, aiohttp, urllib ...); return it."""
        try:
            self._reported = True
            self._read(response)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("APIMonitor", error)
        return response

    @checked
    def status(self, code: int) -> None:
        """Report the response's status code, where there is no response to read."""
        try:
            status = int(code)
        except Exception as error:  # of whatever was given
            raise ValueError(f"invalid {plain_text(code)!r} for code: expected a status such as 200") from error
        self._reported, self._status = True, status

    @checked
    def failed(self, reason: str) -> None:
        """Report that the call failed, whatever its status; reasons are those of `emit.api_call`."""
        self._reason = reason

    def take_from_hook(
        self,
        status: int | None,
        reason: str | None,
        size: int | None,
        limits: dict[str, Window],
        usage: "ModelUsage | None" = None,
    ) -> None:
        """Take what a hook saw of the call, unless `response` or `status` reported it; the last exchange counts.

        What models used and cost is added up: each exchange is billed, at its own model's price.
        """
        if usage is not None:
            from platform_sdk.model_usage import Bill  # loaded with the first call to a model

            failed = (reason or outcomes.reason_of_status(status)) is not None
            bill = Bill.of(usage, emit.cost_of(usage), failed=failed)
            self._bill = bill if self._bill is None else self._bill.then(bill)
        if not self._reported:
            self._status, self._bytes, self._limits = status, size, limits
            self._reason = reason if reason == "blocked" else self._reason

    def _read(self, response: Any) -> None:
        self._status = outcomes.status_of(response)
        headers = getattr(response, "headers", None)
        if headers is not None:
            self._limits = rate_limits.windows(headers)
            length = headers.get("content-length") or headers.get("Content-Length")
            self._bytes = size_of(length)
        blocked = self._options["blocked"]
        if blocked is not None and outcomes.reason_of_status(self._status) is None and blocked(response):
            self._reason = "blocked"

    def _finish(self, exception: BaseException | None) -> None:
        self.duration_seconds = perf_counter() - self._began
        try:
            reason, status = self._reason, self._status
            if reason is None and exception is not None and not isinstance(exception, GeneratorExit):
                reason, status_of_exception = outcomes.reason_of_exception(exception)
                status = status_of_exception if status is None else status
            if reason is None:
                reason = outcomes.reason_of_status(status)
            api, endpoint, params = self._given
            usage, cost = (None, None) if self._bill is None else self._bill[:2]
            given = self._options["cost"]
            emit.api_call(
                api, endpoint, "success" if reason is None else "failure", self.duration_seconds,
                method=self._options["method"], status=status, reason=reason, attempt=self._options["attempt"],
                response_bytes=self._bytes, query=params,
                cost=cost if given is None else given, usage=usage, **rate_limits.of_calls(self._limits),
            )  # fmt: skip
            if self._limits:
                rate_limits.record(api, self._limits)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("APIMonitor", error)

    def __enter__(self) -> Self:
        self._begin()
        self._token = current.set(self)
        return self

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        token, self._token = self._token, None
        try:
            if token is not None:
                current.reset(token)
            elif current.get() is self:  # entered twice, and left for the second time
                current.set(None)
        except ValueError:  # entered in another context, which ended with its monitor
            current.set(None)
        self._finish(exception)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        self.__exit__(kind, exception, trace)

    def __call__(self, function: Function) -> Function:
        """Monitor each call of `function`, with another monitor; a returned response is read."""

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
