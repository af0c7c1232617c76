"""Who scrapes, and how often: a new series is shown at 0 until each of them has seen it there."""

import time
from collections import deque
from collections.abc import Callable

RECENT_SECONDS = 120.0
"""A scraper that was silent for this long is not waited for, as long as another one scrapes."""

KNOWN_SECONDS = 3600.0
"""A Prometheus that was silent for this long is gone: until then, what began while it was away waits for it."""


class Scrapers:
    """The scrapers seen lately. Any thread may call any method.

    A client is a scraper where it names its timeout, as Prometheus does; others count only while there is no scraper.
    """

    def __init__(self, interval_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Expect scrapes at least as often as `interval_seconds`, until longer gaps are seen; 0 waits for none."""
        self.interval_seconds = interval_seconds
        self._clock = clock
        self._seen: dict[tuple[str, bool], deque[float]] = {}

    def note(self, client: str, at: float, *, scrapes: bool) -> None:
        """Remember that a client got what was shown then; `scrapes` says that it named its timeout."""
        seen = {key: times for key, times in self._seen.items() if at - times[-1] < KNOWN_SECONDS}
        seen[client, scrapes] = deque([*seen.get((client, scrapes), ()), at], maxlen=3)
        self._seen = seen

    def saw(self, since: float) -> bool:
        """Tell whether what is shown `since` then, on the monotonic clock, has been seen by every scraper."""
        if self.interval_seconds == 0.0:
            return True
        now = self._clock()
        last = self._last(now)
        if not last:
            return now - since >= RECENT_SECONDS
        recent = [at for at in last if now - at < RECENT_SECONDS]
        seen = max(last) > since and all(at > since for at in recent)
        return seen and now - since >= self.hold_seconds()

    def hold_seconds(self) -> float:
        """Return for how long all scrapers have scraped once at least: where two of them look like one, too."""
        # Only scrapers are regular: a person asks now and then.
        gaps = [min(b - a for a, b in zip(times, list(times)[1:], strict=False))
                for (_, scrapes), times in list(self._seen.items()) if scrapes and len(times) > 1]  # fmt: skip
        # A scrape may be late: then it would be the one that should have seen the 0.
        return min(RECENT_SECONDS, max([self.interval_seconds, *gaps]) * 1.1 + 0.25)

    def _last(self, now: float) -> list[float]:
        seen = self._seen.items()
        known = [times[-1] for (_, scrapes), times in seen if scrapes and now - times[-1] < KNOWN_SECONDS]
        return known or [times[-1] for times in self._seen.values()]
