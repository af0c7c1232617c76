"""The two simulated apps and the external APIs they call, a step of time at a time."""

from abc import ABC, abstractmethod

from exporter.demo import platform, schedule
from exporter.demo.faults import FAULTS, Victim, occur
from exporter.demo.platform import HARVEST, PRICES, SHOP, Api, Route, Sample
from exporter.demo.schedule import Simulation
from exporter.demo.scraping import Jobs
from exporter.demo.users import Users
from platform_sdk import emit
from platform_sdk.events.api_quota import API_QUOTA
from platform_sdk.events.background_task import BACKGROUND_TASK
from platform_sdk.model_usage import ModelUsage

CLIENT_TIMEOUT_SECONDS = 10.0
"""No request takes longer: its client has gone away."""

API_FAILURES: dict[tuple[str, int | None], float] = {
    ("timeout", None): 3,
    ("server_error", 502): 2,
    ("client_error", 404): 2,
    ("connection", None): 1,
}
"""Why a call fails now and then: reason and status, with their weights."""
API_OUTAGE: dict[tuple[str, int | None], float] = {
    ("server_error", 503): 6,
    ("timeout", None): 3,
    ("forbidden", 403): 1,
}
API_FAILURE_RATIO, API_OUTAGE_RATIO = 0.012, 0.7
API_ATTEMPTS = 3

MODEL_ERRORS = {"server_error": "overloaded_error", "client_error": "context_length_exceeded"}
"""What the provider of models calls a failure."""

TASK_FAILURE_RATIO = 0.1


class App(ABC):
    """Base class of the simulated apps."""

    name: str
    samples: tuple[Sample, ...]
    routes: tuple[Route, ...]
    requests_per_second: float

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self._faults = [fault for fault in FAULTS if fault.app == self.name]
        self._sampled_at = 0.0

    def step(self, begins: float, ends: float) -> None:
        """Simulate from `begins` to `ends`, in Unix seconds: a minute at most, as incidents are looked up once."""
        simulation = self.simulation
        simulation.active = simulation.schedule.active(begins)
        rhythm = simulation.schedule.rhythm(begins)
        self.work(begins, ends, rhythm)
        per_second = self.requests_per_second * rhythm / simulation.request_weight
        for _ in simulation.times(per_second, begins, ends):
            self._request()
        for fault in self._faults:
            # Whatever the speed: each issue must be seen.
            per_second = fault.per_second(begins, simulation.now, simulation.active) / simulation.speed
            for _ in simulation.times(per_second, begins, ends):
                occur(fault, simulation.random, self.victim())
        if begins - self._sampled_at >= simulation.sample_seconds:
            self._sampled_at = simulation.at = begins
            for sample in self.samples:
                self._sample(sample, rhythm)

    @abstractmethod
    def work(self, begins: float, ends: float, rhythm: float) -> None:
        """Simulate what only this app does."""

    def close(self, at: float) -> None:  # noqa: B027 - not every app has something to end
        """End what is under way."""

    def victim(self) -> Victim:
        """Return the user whom an error hits."""
        return Victim()

    def slowness(self) -> float:
        """Return how many times longer requests take than usual."""
        return 1.0

    def failure_ratio(self, route: Route) -> float:
        """Return the share of a route's requests that are answered with a 5xx."""
        return 0.001

    @abstractmethod
    def emit_request(self, route: Route, method: str, status: int, seconds: float, size: int) -> None:
        """Emit a request."""

    def _request(self) -> None:
        simulation = self.simulation
        route = simulation.random.choices(self.routes, [one.share for one in self.routes])[0]
        status = 200
        if simulation.happens(self.failure_ratio(route)):
            status = simulation.pick({500: 3, 502: 1})
        elif simulation.happens(route.not_found_ratio):
            status = simulation.pick({404: 5, 403: 1, 400: 1})
        elif simulation.happens(0.03):
            status = 302
        seconds = min(simulation.about(route.typical_seconds, 0.6) * self.slowness(), CLIENT_TIMEOUT_SECONDS)
        method, size = simulation.pick(route.methods), round(simulation.about(9_000, 0.8))
        self.emit_request(route, method, status, seconds, size)

    def _sample(self, sample: Sample, rhythm: float) -> None:
        value = self.simulation.about(sample.typical)
        if sample.kind == "counter":
            value = round(value * rhythm * self.simulation.sample_seconds / 15)
        emit.sample(sample.name, value, sample.kind, sample.unit, sample.labels)


class Shop(App):
    """A web shop: users, requests, three APIs."""

    name = SHOP
    samples, routes, requests_per_second = platform.SHOP_SAMPLES, platform.SHOP_ROUTES, 1.3

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._users = Users(simulation)
        self._apis = [ApiCaller(simulation, api) for api in platform.SHOP_APIS]

    def work(self, begins: float, ends: float, rhythm: float) -> None:
        self._users.step(begins, ends, rhythm)
        outage = self.simulation.is_active(schedule.API_FAILING)
        for caller in self._apis:
            caller.step(begins, ends, rhythm, failing=outage and caller.api.name == "payments")
        for task, (queue, per_second, seconds) in platform.SHOP_TASKS.items():
            for _ in self.simulation.times(per_second * rhythm, begins, ends):
                self._task(task, queue, seconds)

    def _task(self, task: str, queue: str, seconds: float) -> None:
        """Emit a background task, with up to three attempts."""
        simulation, waits = self.simulation, 60 if self.simulation.is_active(schedule.SLOW) else 2
        for attempt in (1, 2, 3):
            failed = simulation.happens(TASK_FAILURE_RATIO)
            outcome = "success" if not failed else "retry" if attempt < 3 else "failure"
            emit.event(
                BACKGROUND_TASK, task=task, queue=queue, outcome=outcome, reason="ConnectionError" if failed else None,
                attempt=attempt, wait_seconds=simulation.about(waits), duration_seconds=simulation.about(seconds),
                worker="celery@demo",
            )  # fmt: skip
            if not failed:
                break

    def victim(self) -> Victim:
        session = self._users.anyone()
        return Victim(session.user_id, session.agent, session.ip)

    def slowness(self) -> float:
        return 9.0 if self.simulation.is_active(schedule.SLOW) else 1.0

    def failure_ratio(self, route: Route) -> float:
        if self.simulation.is_active(schedule.RELEASE):
            return 0.08
        return 0.3 if route.template == "/checkout/" and self.simulation.is_active(schedule.API_FAILING) else 0.002

    def emit_request(self, route: Route, method: str, status: int, seconds: float, size: int) -> None:
        """Emit a request of a user who is signed in, or of an anonymous one."""
        session = self._users.anyone()
        user: tuple[str | None, str, str | None] = (session.user_id, session.role, session.session_id)
        if self.simulation.happens(0.2):
            user = (None, "anonymous", None)
        partner = (
            self.simulation.pick(platform.PARTNERS) if route.template.startswith(platform.PARTNER_ROUTES) else None
        )
        emit.request_finished(
            route.template, method, status, seconds, size, *user, session.ip, session.agent, consumer=partner
        )


class Harvest(App):
    """Three scrapers behind a small API, and two APIs that they need."""

    name = HARVEST
    samples, routes, requests_per_second = platform.HARVEST_SAMPLES, platform.HARVEST_ROUTES, 0.35

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._apis = [ApiCaller(simulation, api) for api in platform.HARVEST_APIS]
        incidents = {
            "papers": (schedule.SILENT_JOB,),
            "news": (schedule.HASTE,),
            "prices": (schedule.STILL_JOB, schedule.LAYOUT, schedule.PROXY),
        }
        self._scrapers = [
            Jobs(simulation, one, can_be_banned=one.name == "news", incidents=incidents.get(one.name, ()))
            for one in platform.SCRAPERS
        ]

    def work(self, begins: float, ends: float, rhythm: float) -> None:
        for jobs in self._scrapers:
            jobs.step(begins, ends, rhythm)
        busy = self.simulation.is_active(schedule.QUOTA)
        for caller in self._apis:
            caller.step(begins, ends, rhythm * (8 if busy and caller.api.name == "translate" else 1))

    def emit_request(self, route: Route, method: str, status: int, seconds: float, size: int) -> None:
        """Emit a request of a customer's program, without a user."""
        emit.request_finished(
            route.template, method, status, seconds, size, user_agent="HarvestClient/1.4 demo",
            consumer=self.simulation.pick(platform.CONSUMERS),
        )  # fmt: skip

    def close(self, at: float) -> None:
        """Cancel running jobs: none is left without a worker."""
        for jobs in self._scrapers:
            jobs.cancel(at)


class ApiCaller:
    """The calls to one external API, with what is left of its quota."""

    def __init__(self, simulation: Simulation, api: Api) -> None:
        self.api = api
        self._simulation = simulation
        self._remaining = self._tokens = 0
        self._resets_at = 0.0

    def step(self, begins: float, ends: float, rhythm: float, *, failing: bool = False) -> None:
        """Simulate one step; `failing` is an outage of the provider's."""
        for at in self._simulation.times(self.api.calls_per_second * rhythm, begins, ends):
            self._reset_quota(at)
            for attempt in range(1, API_ATTEMPTS + 1):
                if self._call(attempt, failing=failing):
                    break

    def _reset_quota(self, at: float) -> None:
        api = self.api
        if api.quota and at >= self._resets_at:
            # The demo starts in the middle of a window.
            passed = at % api.window_seconds / api.window_seconds if not self._resets_at else 0.0
            self._remaining = round(api.quota * (1 - 0.6 * passed))
            self._tokens = round((api.token_quota or 0) * (1 - 0.6 * passed))
            self._resets_at = (at // api.window_seconds + 1) * api.window_seconds

    def _call(self, attempt: int, *, failing: bool) -> bool:
        """Return False where another attempt makes sense."""
        simulation, api = self._simulation, self.api
        reason: str | None = None
        status: int | None = 200
        seconds = simulation.about(api.typical_seconds * (3 if failing else 1))
        if api.quota and not self._remaining:
            reason, status, seconds = "rate_limited", 429, 0.05
        elif simulation.happens(API_OUTAGE_RATIO if failing else API_FAILURE_RATIO):
            reason, status = simulation.pick(API_OUTAGE if failing else API_FAILURES)
            seconds = CLIENT_TIMEOUT_SECONDS if reason == "timeout" else seconds
        if api.quota:
            self._remaining = max(self._remaining - 1, 0)
        usage = self._usage(reason) if api.models else None
        cost = usage.cost(PRICES) if usage else None if reason else api.cost or None
        emit.api_call(
            api.name, api.endpoint, "failure" if reason else "success", seconds, method=api.method, status=status,
            reason=reason, attempt=attempt, response_bytes=None if reason else round(simulation.about(4000)),
            cost=cost,
            rate_limit_remaining=self._remaining if api.quota else None,
            rate_limit_reset=self._resets_at if api.quota else None,
            usage=usage, rate_limit=api.quota, consumer=simulation.pick(api.consumers) if api.consumers else None,
        )  # fmt: skip
        if api.token_quota and usage:
            self._tokens = max(self._tokens - (usage.input_tokens or 0) - (usage.output_tokens or 0), 0)
            emit.event(
                API_QUOTA, api=api.name, quota="tokens", quota_limit=api.token_quota, remaining=self._tokens,
                resets_at=self._resets_at,
            )  # fmt: skip
        return reason in (None, "rate_limited", "client_error", "forbidden")

    def _usage(self, reason: str | None) -> ModelUsage:
        """Return what a call to a language model used: nothing if it failed."""
        simulation, models = self._simulation, self.api.models
        model = simulation.random.choices(models, [one.share for one in models])[0]
        if reason is not None:
            return ModelUsage(model.name, model.operation, error_type=MODEL_ERRORS.get(reason))
        given = round(simulation.about(model.input_tokens, 0.5))
        cached = simulation.pick({0.0: 2, 0.7: 1}) if "cache_read" in model.prices else 0.0
        written = given // 5 if "cache_creation" in model.prices and not cached and simulation.happens(0.2) else 0
        answered = round(simulation.about(model.output_tokens, 0.6)) if model.output_tokens else None
        thought = answered // 3 if answered and model.name == "atlas-large-2" else None
        first = simulation.about(0.5) if answered and simulation.happens(0.7) else None
        return ModelUsage(
            model.name, model.operation, given, answered, round(given * cached), written, thought, None, first
        )


SIMULATED_APPS: tuple[type[App], ...] = (Shop, Harvest)
