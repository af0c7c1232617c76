"""Play calls to outside APIs, with quotas that fall and renew, costs, and failures."""

from exporter.demo.platform import Api
from exporter.demo.stage import Stage
from platform_sdk import emit

FAILURES: dict[tuple[str, int | None], float] = {
    ("timeout", None): 3,
    ("server_error", 502): 2,
    ("client_error", 404): 2,
    ("connection", None): 1,
}
"""Why a call fails now and then: reason, status, and how often."""
OUTAGE: dict[tuple[str, int | None], float] = {
    ("server_error", 503): 6,
    ("timeout", None): 3,
    ("forbidden", 403): 1,
}

FAILURE_RATIO, OUTAGE_RATIO = 0.012, 0.7
RETRIES = 3
TIMEOUT_SECONDS = 10.0


class Caller:
    """Call one API, and remember what is left of its quota."""

    def __init__(self, stage: Stage, api: Api) -> None:
        self._stage = stage
        self._api = api
        self._left = 0
        self._renewed_at = 0.0

    def step(self, begins: float, ends: float, rhythm: float, *, failing: bool = False, hungry: bool = False) -> None:
        """Play one step; `failing` is an outage of the provider's, `hungry` a caller that uses its quota up."""
        per_second = self._api.calls_per_second * rhythm * (8 if hungry else 1)
        for at in self._stage.times(per_second, begins, ends):
            self._renew(at)
            for attempt in range(1, RETRIES + 1):
                if self._call(attempt, failing=failing):
                    break

    def _renew(self, at: float) -> None:
        api = self._api
        if api.quota and at >= self._renewed_at:
            # At a start the window is under way.
            passed = at % api.window_seconds / api.window_seconds if not self._renewed_at else 0.0
            self._left = round(api.quota * (1 - 0.6 * passed))
            self._renewed_at = (at // api.window_seconds + 1) * api.window_seconds

    def _call(self, attempt: int, *, failing: bool) -> bool:
        """Return whether it is over: it worked, or it makes no sense to try again."""
        stage, api = self._stage, self._api
        reason: str | None = None
        status: int | None = 200
        seconds = stage.about(api.typical_seconds * (3 if failing else 1))
        if api.quota and not self._left:
            reason, status, seconds = "rate_limited", 429, 0.05
        elif stage.happens(OUTAGE_RATIO if failing else FAILURE_RATIO):
            reason, status = stage.pick(OUTAGE if failing else FAILURES)
            seconds = TIMEOUT_SECONDS if reason == "timeout" else seconds
        if api.quota:
            self._left = max(self._left - 1, 0)
        emit.api_call(
            api.name, api.endpoint, "failure" if reason else "success", seconds, method=api.method, status=status,
            reason=reason, attempt=attempt, response_bytes=None if reason else round(stage.about(4000)),
            cost=None if reason else api.cost or None,
            rate_limit_remaining=self._left if api.quota else None,
            rate_limit_reset=self._renewed_at if api.quota else None,
        )  # fmt: skip
        return reason in (None, "rate_limited", "client_error", "forbidden")
