"""The trace that a request, a call or an error belongs to.

It is that of OpenTelemetry's current span, where the application has loaded OpenTelemetry; otherwise that of the
header `traceparent` of the request that is being served (https://www.w3.org/TR/trace-context/#traceparent-header).
"""

import re
import sys

from platform_sdk.diagnostics import note

Trace = tuple[str | None, bool | None]
"""The trace's id, 32 hexadecimal digits, and whether it is sampled: kept by whoever began it."""

NO_TRACE: Trace = (None, None)

_modules = sys.modules

# In versions to come there may be more behind a dash; in this one there is not.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-[!-~]{0,200})?"
)


def of_request(traceparent: str | None) -> Trace:
    """Return the trace of what is being done for a request with this header, if any. Never raises."""
    trace = of_span() if "opentelemetry.trace" in _modules else NO_TRACE  # asked before: most requests have no trace
    return trace if traceparent is None or trace is not NO_TRACE else of_header(traceparent)


def of_header(traceparent: str) -> Trace:
    """Return the trace that a header names; none where the header is invalid, as the specification asks.

    Several headers, which servers join by commas, are invalid too.
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or (match[1] == "00" and match[4] is not None):
        return NO_TRACE
    return match[2], int(match[3], 16) & 1 == 1


def of_span() -> Trace:
    """Return the trace of OpenTelemetry's current span. Never raises, and imports nothing."""
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return NO_TRACE
    try:
        context = opentelemetry.get_current_span().get_span_context()
        if not context.is_valid:
            return NO_TRACE
        return format(context.trace_id, "032x"), bool(context.trace_flags & 1)
    except Exception as error:  # noqa: BLE001 - of another version, or half imported
        note("opentelemetry", error)
        return NO_TRACE
