"""Every kind of event: schema, retention, SQL, exposition, reference and SDK read this tuple."""

from platform_sdk.events.api_call import API_CALL
from platform_sdk.events.api_quota import API_QUOTA
from platform_sdk.events.background_task import BACKGROUND_TASK
from platform_sdk.events.base import EventKind
from platform_sdk.events.error import ERROR
from platform_sdk.events.http_request import HTTP_REQUEST
from platform_sdk.events.sample import SAMPLE
from platform_sdk.events.scraping_field import SCRAPING_FIELD
from platform_sdk.events.scraping_request import SCRAPING_REQUEST
from platform_sdk.events.scraping_run import SCRAPING_RUN
from platform_sdk.events.user_activity import USER_ACTIVITY

EVENTS: tuple[EventKind, ...] = (
    HTTP_REQUEST, API_CALL, SCRAPING_RUN, BACKGROUND_TASK, USER_ACTIVITY, ERROR, SAMPLE, SCRAPING_REQUEST,
    SCRAPING_FIELD, API_QUOTA,
)  # fmt: skip

KINDS = {kind.name: kind for kind in EVENTS}
