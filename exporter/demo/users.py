"""The shop's simulated users: they sign in, do things, and sign out or leave."""

from dataclasses import dataclass

from exporter.demo import schedule
from exporter.demo.platform import ACTIVITIES, AGENTS, ATTACKER, ROLES
from exporter.demo.schedule import Simulation
from platform_sdk import emit
from platform_sdk.actor import session_digest

LOGINS_PER_SECOND = 0.025
ACTIVITIES_PER_SECOND = 0.14
WRONG_PASSWORD_RATIO = 0.04
SESSION_SECONDS = 900
SESSIONS_AT_START = 12

_USERS = tuple((f"demo-{role}-{number}", role) for role, count in ROLES.items() for number in range(1, count + 1))
_WEIGHTS = {(activity, module, feature): weight for activity, module, feature, weight in ACTIVITIES}


@dataclass(frozen=True, slots=True)
class Session:
    """A user who is signed in; `ends` is a Unix time."""

    user_id: str
    role: str
    session_id: str | None
    ip: str
    agent: str
    ends: float


class Users:
    """Everybody who is signed in."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._sessions: list[Session] = []

    def step(self, begins: float, ends: float, rhythm: float) -> None:
        """Simulate one step."""
        simulation = self._simulation
        self._sign_out(begins)
        while len(self._sessions) < SESSIONS_AT_START * rhythm:
            self._sessions.append(self._session(begins))  # signed in before the step, or before the demo
        for at in simulation.times(LOGINS_PER_SECOND * rhythm, begins, ends):
            self._sign_in(self._session(at))
        for _ in simulation.times(ACTIVITIES_PER_SECOND * rhythm, begins, ends):
            self._act(self.anyone())
        if simulation.is_active(schedule.LOGINS):
            for _ in simulation.times(0.5, begins, ends):
                self._attack()

    def anyone(self) -> Session:
        """Return one of those who are signed in."""
        return self._simulation.random.choice(self._sessions)

    def _sign_out(self, at: float) -> None:
        self._simulation.at = at
        for session in self._sessions:
            if session.ends <= at and self._simulation.happens(0.6):
                self._emit("logout", session, "accounts", "sign-out")
        self._sessions = [session for session in self._sessions if session.ends > at]

    def _session(self, at: float) -> Session:
        simulation = self._simulation
        user_id, role = simulation.random.choice(_USERS)
        key = session_digest(f"demo-{simulation.random.getrandbits(64):x}")
        ip = f"{simulation.pick({'192.0.2': 3, '198.51.100': 2})}.{simulation.random.randrange(1, 255)}"
        return Session(user_id, role, key, ip, simulation.pick(AGENTS), at + simulation.about(SESSION_SECONDS))

    def _sign_in(self, session: Session) -> None:
        if self._simulation.happens(WRONG_PASSWORD_RATIO):
            self._emit("login", session, "accounts", "sign-in", success=False)
        self._emit("login", session, "accounts", "sign-in")
        self._sessions.append(session)

    def _act(self, session: Session) -> None:
        simulation = self._simulation
        activity, module, feature = simulation.pick(_WEIGHTS)
        seconds = simulation.about(0.8 if simulation.is_active(schedule.SLOW) else 0.2)
        failed = activity == "order" and simulation.is_active(schedule.API_FAILING) and simulation.happens(0.7)
        self._emit(activity, session, module, feature, success=not failed, seconds=seconds)

    def _attack(self) -> None:
        user_id, role = self._simulation.random.choice(_USERS)
        emit.activity(
            "login", user_id=user_id, role=role, module="accounts", feature="sign-in", success=False,
            duration_seconds=0.1, ip="203.0.113.66", user_agent=ATTACKER,
        )  # fmt: skip

    def _emit(
        self, activity: str, session: Session, module: str, feature: str, *, success: bool = True, seconds: float = 0.1
    ) -> None:
        emit.activity(
            activity, user_id=session.user_id, role=session.role, session_id=session.session_id, module=module,
            feature=feature, success=success, duration_seconds=seconds, ip=session.ip, user_agent=session.agent,
        )  # fmt: skip
