"""Number the kinds of events, as the first element of the tuples that travel to the writer."""

from platform_sdk.events import EVENTS

NAMES = tuple(kind.name for kind in EVENTS)

HTTP_REQUEST = NAMES.index("http_request")
API_CALL = NAMES.index("api_call")
SCRAPING_RUN = NAMES.index("scraping_run")
USER_ACTIVITY = NAMES.index("user_activity")
ERROR = NAMES.index("error")
SAMPLE = NAMES.index("sample")
JOB = len(NAMES)
"""Rows of the state table scraping_job, which are no events."""


def name_of(event: tuple[object, ...]) -> str:
    """Return the name of an event's kind."""
    kind = event[0]
    return NAMES[kind] if isinstance(kind, int) and kind < len(NAMES) else "event"
