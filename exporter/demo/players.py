"""Play the two apps, a step of time at a time."""

from abc import ABC, abstractmethod

from exporter.demo import platform, schedule
from exporter.demo.apis import Caller
from exporter.demo.jobs import Jobs
from exporter.demo.people import People
from exporter.demo.platform import HARVEST, SHOP, Route, Sample
from exporter.demo.stage import Stage
from exporter.demo.troubles import TROUBLES, occur
from platform_sdk import emit

PATIENCE_SECONDS = 10.0
"""After which a client goes away, however slow the answer."""


class Player(ABC):
    """Play one app."""

    app: str
    samples: tuple[Sample, ...]
    routes: tuple[Route, ...]
    requests_per_second: float

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._troubles = [trouble for trouble in TROUBLES if trouble.app == self.app]
        self._sampled_at = 0.0

    def step(self, begins: float, ends: float) -> None:
        """Play from `begins` to `ends`, in Unix seconds; a minute at most, as what is on is asked once."""
        self.stage.active = self.stage.schedule.active(begins)
        rhythm = self.stage.schedule.rhythm(begins)
        self.play(begins, ends, rhythm)
        per_second = self.requests_per_second * rhythm / self.stage.request_weight
        for _ in self.stage.times(per_second, begins, ends):
            self._request()
        for trouble in self._troubles:
            often = trouble.per_second(begins, self.stage.now, self.stage.active)
            # However little traffic there is: each issue is to be seen.
            for _ in self.stage.times(often / self.stage.speed, begins, ends):
                occur(trouble, self.stage.random, *self.sufferer())
        if begins - self._sampled_at >= self.stage.sample_seconds:
            self._sampled_at = self.stage.at = begins
            for sample in self.samples:
                self._sample(sample, rhythm)

    @abstractmethod
    def play(self, begins: float, ends: float, rhythm: float) -> None:
        """Play what only this app does."""

    @abstractmethod
    def close(self, at: float) -> None:
        """End what goes on."""

    def sufferer(self) -> tuple[str | None, str | None, str | None]:
        """Return whom an error hits: user, user agent, address."""
        return None, None, None

    def slowness(self) -> float:
        """Return how many times longer requests take than usual."""
        return 1.0

    def failure_ratio(self, route: Route) -> float:
        """Return the share of a route's requests that are answered with a 5xx."""
        return 0.001

    def _request(self) -> None:
        stage = self.stage
        route = stage.random.choices(self.routes, [one.share for one in self.routes])[0]
        status = 200
        if stage.happens(self.failure_ratio(route)):
            status = stage.pick({500: 3, 502: 1})
        elif stage.happens(route.not_found_ratio):
            status = stage.pick({404: 5, 403: 1, 400: 1})
        elif stage.happens(0.03):
            status = 302
        seconds = min(stage.about(route.typical_seconds, 0.6) * self.slowness(), PATIENCE_SECONDS)
        self.emit_request(route, stage.pick(route.methods), status, seconds, round(stage.about(9_000, 0.8)))

    def emit_request(self, route: Route, method: str, status: int, seconds: float, size: int) -> None:
        """Emit a request of nobody in particular."""
        emit.request_finished(route.template, method, status, seconds, size, user_agent="HarvestClient/1.4 demo")

    def _sample(self, sample: Sample, rhythm: float) -> None:
        value = self.stage.about(sample.typical)
        if sample.kind == "counter":
            value = round(value * rhythm * self.stage.sample_seconds / 15)
        emit.sample(sample.name, value, sample.kind, sample.unit, sample.labels)


class Shop(Player):
    """A web shop: people, requests, three APIs."""

    app = SHOP
    samples, routes, requests_per_second = platform.SHOP_SAMPLES, platform.SHOP_ROUTES, 1.3

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._people = People(stage)
        self._callers = {api.name: Caller(stage, api) for api in platform.SHOP_APIS}

    def play(self, begins: float, ends: float, rhythm: float) -> None:
        """Play people and calls."""
        self._people.step(begins, ends, rhythm)
        for name, caller in self._callers.items():
            failing = name == "payments" and self.stage.is_on(schedule.API_FAILING)
            caller.step(begins, ends, rhythm, failing=failing)

    def close(self, at: float) -> None:
        """Leave people signed in, as they would be."""

    def sufferer(self) -> tuple[str | None, str | None, str | None]:
        """Return one of those who are signed in."""
        session = self._people.anyone()
        return session.user_id, session.agent, session.ip

    def slowness(self) -> float:
        """Return how slow the shop is: an incident makes it wait for its database."""
        return 9.0 if self.stage.is_on(schedule.SLOW) else 1.0

    def failure_ratio(self, route: Route) -> float:
        """Return the share of failures: a bad release fails everywhere, an API that fails at the checkout."""
        if self.stage.is_on(schedule.RELEASE):
            return 0.08
        return 0.3 if route.template == "/checkout/" and self.stage.is_on(schedule.API_FAILING) else 0.002

    def emit_request(self, route: Route, method: str, status: int, seconds: float, size: int) -> None:
        """Emit a request, of somebody who is signed in or not."""
        session = self._people.anyone()
        user_id, role, session_id = session.user_id, session.role, session.session_id
        if self.stage.happens(0.2):
            user_id, role, session_id = None, "anonymous", None
        emit.request_finished(
            route.template, method, status, seconds, size, user_id, role, session_id, session.ip, session.agent
        )


class Harvest(Player):
    """Three scrapers behind a small API, and two APIs that they need."""

    app = HARVEST
    samples, routes, requests_per_second = platform.HARVEST_SAMPLES, platform.HARVEST_ROUTES, 0.35

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._callers = {api.name: Caller(stage, api) for api in platform.HARVEST_APIS}
        held = {"papers": (schedule.SILENT_JOB,), "prices": (schedule.STILL_JOB,)}
        self._jobs = [
            Jobs(stage, scraper, bans=scraper.name == "news", held=held.get(scraper.name, ()))
            for scraper in platform.SCRAPERS
        ]

    def play(self, begins: float, ends: float, rhythm: float) -> None:
        """Play jobs and calls."""
        for jobs in self._jobs:
            jobs.step(begins, ends, rhythm)
        for name, caller in self._callers.items():
            caller.step(begins, ends, rhythm, hungry=name == "translate" and self.stage.is_on(schedule.QUOTA))

    def close(self, at: float) -> None:
        """Cancel what runs: no job is left that nobody works on."""
        for jobs in self._jobs:
            jobs.cancel(at)


PLAYERS: tuple[type[Player], ...] = (Shop, Harvest)
