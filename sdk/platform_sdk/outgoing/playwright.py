"""Count the pages that scraping jobs open in a browser with Playwright, sync and async.

    from platform_sdk.outgoing import playwright as outgoing
    outgoing.install()                # every browser of this process, however it was started, also pages opened before

Of a job the requests for main documents are counted, redirects and failed ones too: of `goto`, `reload`, `go_back` and
`go_forward`, and what a click or a key leads to. What those four return is read, for `blocked` and for what the SDK
recognises by itself, unless it is too long for a challenge or `bodies=False`: one message to the browser, which has
it in memory. A page that crashes is an error. Outside of jobs nothing is counted.

Playwright is asked for a page's requests only until its document has come: each image that it reports takes as long as
all else here. With `fetches=True` it always is, and what scripts fetch of the page's own site is counted, too.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import iscoroutinefunction
from time import perf_counter
from types import ModuleType
from typing import Any, Self

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.outgoing.blocks import (
    LONGEST_GOOD_BYTES,
    LONGEST_REFUSAL_BYTES,
    START_BYTES,
    Page,
    block_of,
    headers_of,
)
from platform_sdk.outgoing.current_job import Counting, running
from platform_sdk.outgoing.hooks import ApiResponse, Blocked, Patch, Rules
from platform_sdk.outgoing.proxies import provider_of
from platform_sdk.parsing import size_of, split_url

MOST_OTHERS = 20
"""How many requests after a click, none of them for a document, say that it leads to none."""
MOST_HELD = 200
"""How many of a page's fetches wait until it is known whether its document is a challenge."""

_REDIRECTS = (301, 302, 303, 307, 308)
_STOPPED = ("ERR_ABORTED", "ERR_FAILED", "ERR_BLOCKED")
"""Failures of fetches that the page or the scraper itself stopped, among others."""
_TAB, _PROXY = "_platform_sdk_tab", "_platform_sdk_proxy"

_patches: dict[str, list[Patch]] = {}
_rules: Rules | None = None
_bodies, _fetches = True, False


def install(*, blocked: Blocked = None, bodies: bool = True, fetches: bool = False) -> None:
    """Count what jobs open from now on; a second call changes the options. Loads both of Playwright's APIs."""
    global _rules, _bodies, _fetches
    from playwright import async_api, sync_api

    _rules, _bodies, _fetches = Rules(blocked=blocked), bodies, fetches
    for api in (async_api, sync_api):
        ensure(api)


def ensure(api: ModuleType) -> None:
    """Count what jobs open by one of the APIs, unless the application installed this already."""
    global _rules
    _rules = _rules or Rules()
    if api.__name__ not in _patches:
        _patches[api.__name__] = [_patch(getattr(api, kind), name, step) for kind, name, step in _METHODS]
    for patch in _patches[api.__name__]:
        patch.apply()


def uninstall() -> None:
    """Leave Playwright as it was found; pages opened meanwhile count nothing more."""
    global _rules
    _rules = None
    for patch in (each for patches in _patches.values() for each in patches):
        patch.remove()


def _patch(kind: Any, name: str, step: "type[_Step]") -> Patch:
    """Return a method that takes a step around the original, which is a coroutine function in one of the APIs."""

    async def asynchronous(place: Any, *args: Any, **kwargs: Any) -> Any:
        with step(place, kwargs) as taken:
            result = await patch.original(place, *args, **kwargs)
            if taken.returned(result):
                with suppress(Exception):  # gone with its page, for example: then it is counted without
                    taken.body = await result.body()
        return result

    def synchronous(place: Any, *args: Any, **kwargs: Any) -> Any:
        with step(place, kwargs) as taken:
            result = patch.original(place, *args, **kwargs)
            if taken.returned(result):
                with suppress(Exception):  # gone with its page, for example: then it is counted without
                    taken.body = result.body()
        return result

    original = getattr(kind, name)
    patch = Patch(kind, name, wraps(original)(asynchronous if iscoroutinefunction(original) else synchronous))
    return patch


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that logs what goes wrong in it."""

    @wraps(method)
    def call(*args: Any) -> Any:
        try:
            return method(*args)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("playwright", error)
            return None

    return call


class _Step:
    """What is done around a call of the application's. This one may lead to another document: a click, a key."""

    def __init__(self, place: Any, options: dict[str, Any]) -> None:
        self._place, self._options = place, options
        self.tab: _Tab | None = None
        self.body: bytes | None = None

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        self.end(exception)

    @_guarded
    def begin(self) -> None:
        """Note which job drives the page."""
        page, job = getattr(self._place, "page", self._place), running()
        tab = getattr(page, _TAB, None)
        if _rules is not None and client.current is not None and job is not None:
            if tab is None:
                tab = _Tab(page)
                setattr(page, _TAB, tab)
            self.tab = tab
        if tab is not None:
            tab.drive(job if self.tab else None)

    def returned(self, result: Any) -> bool:
        """Take what the call returned; return whether its body is to be read."""
        return False

    def end(self, exception: BaseException | None) -> None:
        """Take that the call is over."""


class _Opening(_Step):
    """The start of a browser, or of a context or a page in it, through a proxy perhaps."""

    def begin(self) -> None:
        """Do nothing."""

    @_guarded
    def returned(self, result: Any) -> bool:
        """Remember the proxy."""
        if proxy := self._options.get("proxy"):
            setattr(result, _PROXY, proxy["server"])
        return False


class _Navigation(_Step):
    """A call that returns when a document has come."""

    @_guarded
    def begin(self) -> None:
        """Note that documents are counted at the end of this."""
        super().begin()
        if self.tab is not None:
            self.tab.navigations += 1

    @_guarded
    def returned(self, result: Any) -> bool:
        """Return whether to read a document: one that is complete, and not too long for a challenge."""
        if self.tab is None or result is None or result is not self.tab.document or not _bodies:
            return False
        size = size_of(result.headers.get("content-length")) or 0
        html = "html" in result.headers.get("content-type", "html")
        shown = result.status >= 400 or (_rules is not None and _rules.blocked is not None)
        longest = LONGEST_REFUSAL_BYTES if shown else LONGEST_GOOD_BYTES
        return html and size <= longest and self._options.get("wait_until") != "commit"

    @_guarded
    def end(self, exception: BaseException | None) -> None:
        """Count the document."""
        if self.tab is not None:
            self.tab.navigations -= 1
            if not self.tab.navigations:
                self.tab.settle(self.body, exception)


_METHODS: tuple[tuple[str, str, type[_Step]], ...] = (
    *(("Page", name, _Navigation) for name in ("goto", "reload", "go_back", "go_forward")),
    ("Frame", "goto", _Navigation),
    *((kind, name, _Step) for kind in ("Page", "Frame", "Locator") for name in ("click", "press")),
    *(("BrowserType", name, _Opening) for name in ("launch", "launch_persistent_context")),
    *(("Browser", name, _Opening) for name in ("new_context", "new_page")),
)


class _Tab:
    """What is known of a page: the job that drives it, and its document.

    Playwright's loop calls the listeners, where nothing may wait: they look at nothing but what is in memory.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._job: Counting | None = None
        self._proxy: str | None = None
        self._began = perf_counter()
        self._listens = self._blocked = False
        self._others = self.navigations = 0
        self._awaited: Any = None  # the request for a document that has not come
        self.document: Any = None  # the response that `settle` will count
        self._held: list[Any] = []
        self._listeners = {"request": self.asked, "response": self.answered, "requestfailed": self.failed}
        page.on("crash", self.crashed)

    def drive(self, job: Counting | None) -> None:
        """Take which job drives the page from now on."""
        self._job, self._others = job, 0
        if job is None:
            self._listen(False)
            return
        places = (self._page, self._page.context, self._page.context.browser)
        self._proxy = provider_of(next(filter(None, (getattr(place, _PROXY, None) for place in places)), None))
        self._listen(True)

    def settle(self, body: bytes | None, exception: BaseException | None) -> None:
        """Count the document of a navigation that is over, and what was fetched meanwhile."""
        response, self.document = self.document, None
        if response is not None:
            self._blocked = self._count(response.request, response, body) is not None
        elif exception is not None and self._awaited is not None:
            self._count(self._awaited)
            self._awaited = None
        held, self._held = self._held, []
        for each in held:
            self._fetched(each)

    @_guarded
    def asked(self, request: Any) -> None:
        """Take a request."""
        if _is_document(request):
            self._awaited, self._began = request, perf_counter()

    @_guarded
    def answered(self, response: Any) -> None:
        """Take the head of a response."""
        if _rules is None:
            self._listen(False)
        elif _is_document(response.request):
            self._awaited = None
            if response.status in _REDIRECTS:
                self._count(response.request, response)
                return
            self._listen(_fetches)
            self.document = response
            if not self.navigations:
                self.settle(None, None)
        elif _fetches and _is_fetch(response.request):
            if not self.navigations:
                self._fetched(response)
            elif len(self._held) < MOST_HELD:
                self._held.append(response)
        else:
            self._others += 1
            if self._others > MOST_OTHERS and not self.navigations:
                self._listen(_fetches)

    @_guarded
    def failed(self, request: Any) -> None:
        """Take a request that got no response, or whose body broke off."""
        if request is self._awaited:
            self._awaited = None
            self._count(request)
        elif _fetches and _is_fetch(request) and not any(word in (request.failure or "") for word in _STOPPED):
            self._count_own(request)

    @_guarded
    def crashed(self) -> None:
        """Record that the page's process ended."""
        if self._job is not None and self._job.live:
            scraper, job_id = getattr(self._job, "scraper", None), getattr(self._job, "id", None)
            emit.error_message(
                "the page crashed", error_type="PageCrashed", severity="high", endpoint=scraper, job_id=job_id
            )

    def _listen(self, wanted: bool) -> None:
        if wanted is not self._listens:
            self._listens = wanted
            for event, listener in self._listeners.items():
                (self._page.on if wanted else self._page.remove_listener)(event, listener)

    def _fetched(self, response: Any) -> None:
        if not self._blocked and not response.from_service_worker:  # which itself fetches what is not in its cache
            self._count_own(response.request, response)

    def _count_own(self, request: Any, response: Any = None) -> None:
        """Count what was fetched of the page's own site: of a host that ends as its own, api.shop.example."""
        own, other = (split_url(url).host.rsplit(".", 2)[-2:] for url in (self._page.url, request.url))
        if own == other:
            self._count(request, response)

    def _count(self, request: Any, response: Any = None, body: bytes | None = None) -> str | None:
        """Count a request in the job; return what blocked it."""
        job, rules, to = self._job, _rules, split_url(request.url)
        if job is None or not job.live or rules is None or not request.url.startswith("http"):
            return None
        status, headers = (0, {}) if response is None else (response.status, response.headers)
        announced = size_of(headers.get("content-length"))
        start, length = (None, None) if body is None else (body[:START_BYTES], len(body))
        if length is None and "content-encoding" not in headers:
            length = announced
        asked = body is not None and status < 400
        custom = asked and rules.blocks(lambda: ApiResponse(status, headers, request.url, body or b""))
        page = Page(request.method, to.path, status, headers_of(headers.items()), start, length)
        if start is not None and b"<script" in start.lower() and block_of(page) == "empty":
            page = page._replace(start=None)  # what has no text yet: the browser runs its scripts
        return job.observe(
            to.host, page, size_bytes=length if announced is None else announced, retry=False,
            block="custom" if custom else None,
            proxy=self._proxy, seconds=perf_counter() - self._began,
        )  # fmt: skip


def _is_document(request: Any) -> bool:
    return request.is_navigation_request() and request.frame.parent_frame is None


def _is_fetch(request: Any) -> bool:
    return request.resource_type in ("xhr", "fetch")
