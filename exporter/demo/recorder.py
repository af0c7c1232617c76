"""Take what players emit as rows of the past: behind the SDK's functions, in place of its intake.

The rows are those that the SDK would write, redaction, fingerprints and all; only their times and weights are others.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.demo.stage import Stage
from exporter.demo.troubles import IN_APP
from platform_sdk import client
from platform_sdk.delivery import kinds
from platform_sdk.delivery.encoding import Encoder
from platform_sdk.delivery.intake import Event, Intake, Lane
from platform_sdk.options import Options


class Recorder(Intake):
    """Hold rows of COPY's text format by kind. Live jobs are left out: none of the past lives."""

    def __init__(self, app: str, stage: Stage) -> None:
        super().__init__(_options(app, None), lambda: None)
        self.rows: defaultdict[int, list[str]] = defaultdict(list)
        self.events = 0
        self.app, self.stage = app, stage
        self._encoders: dict[str, Encoder] = {}

    def put(self, lane: Lane, event: Event, size: int) -> None:
        """Make a row of it at once."""
        stage = self.stage
        release = stage.schedule.release(stage.at)
        encoder = self._encoders.get(release)
        if encoder is None:
            encoder = self._encoders[release] = Encoder(_options(self.app, release))
        weight = stage.request_weight if event[0] == kinds.HTTP_REQUEST else 1
        self.rows[event[0]].append(encoder.row((event[0], stage.at, *event[2:]), weight))
        self.events += weight

    def put_job(self, job_id: str, state: Event) -> None:
        """Leave it out."""

    @property
    def waiting_rows(self) -> int:
        """Return how many rows there are."""
        return sum(map(len, self.rows.values()))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Take what this process emits while the block lasts."""
        before, client.current = client.current, self
        try:
            yield
        finally:
            client.current = before


def _options(app: str, release: str | None) -> Options:
    return Options(dsn="unused", app=app, release=release, in_app=IN_APP)
