"""List every kind of event; schema, SQL, exposition, reference and SDK read this tuple."""

from exporter.events.api_call import API_CALL
from exporter.events.base import EventKind
from exporter.events.error import ERROR
from exporter.events.http_request import HTTP_REQUEST
from exporter.events.sample import SAMPLE
from exporter.events.scraping_run import SCRAPING_RUN
from exporter.events.user_activity import USER_ACTIVITY

EVENTS: tuple[EventKind, ...] = (HTTP_REQUEST, API_CALL, SCRAPING_RUN, USER_ACTIVITY, ERROR, SAMPLE)

KINDS = {kind.name: kind for kind in EVENTS}
