"""Play the users of the shop: they sign in, do things, and sign out or go away."""

from dataclasses import dataclass

from exporter.demo import schedule
from exporter.demo.platform import ACTIVITIES, AGENTS, ATTACKER, ROLES
from exporter.demo.stage import Stage
from platform_sdk import emit
from platform_sdk.web.actor import session_digest

LOGINS_PER_SECOND = 0.025
ACTIVITIES_PER_SECOND = 0.14
WRONG_PASSWORD_RATIO = 0.04
SESSION_SECONDS = 900
SESSIONS_AT_FIRST = 12

_USERS = tuple((f"demo-{role}-{number}", role) for role, count in ROLES.items() for number in range(1, count + 1))
_ACTIONS = {(activity, module, feature): weight for activity, module, feature, weight in ACTIVITIES}


@dataclass(frozen=True, slots=True)
class Session:
    """Hold who is signed in, with what, and until when."""

    user_id: str | None
    role: str | None
    session_id: str | None
    ip: str
    agent: str
    ends: float


class People:
    """Hold who is signed in."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.sessions: list[Session] = []

    def step(self, begins: float, ends: float, rhythm: float) -> None:
        """Play one step."""
        stage = self._stage
        self._leave(begins)
        while len(self.sessions) < SESSIONS_AT_FIRST * rhythm:
            self.sessions.append(self._session(begins))  # were here before the step, or before the demo
        for at in stage.times(LOGINS_PER_SECOND * rhythm, begins, ends):
            self._login(self._session(at))
        for _ in stage.times(ACTIVITIES_PER_SECOND * rhythm, begins, ends):
            self._act(self.anyone())
        if stage.is_on(schedule.LOGINS):
            for _ in stage.times(0.5, begins, ends):
                self._attack()

    def anyone(self) -> Session:
        """Return one of those who are signed in."""
        return self._stage.random.choice(self.sessions)

    def _leave(self, at: float) -> None:
        self._stage.at = at
        for session in self.sessions:
            if session.ends <= at and self._stage.happens(0.6):
                self._emit("logout", session, "accounts", "sign-out")
        self.sessions = [session for session in self.sessions if session.ends > at]

    def _session(self, at: float) -> Session:
        stage = self._stage
        user_id, role = stage.random.choice(_USERS)
        key = session_digest(f"demo-{stage.random.getrandbits(64):x}")
        ip = f"{stage.pick({'192.0.2': 3, '198.51.100': 2})}.{stage.random.randrange(1, 255)}"
        return Session(user_id, role, key, ip, stage.pick(AGENTS), at + stage.about(SESSION_SECONDS))

    def _login(self, session: Session) -> None:
        if self._stage.happens(WRONG_PASSWORD_RATIO):
            self._emit("login", session, "accounts", "sign-in", success=False)
        self._emit("login", session, "accounts", "sign-in")
        self.sessions.append(session)

    def _act(self, session: Session) -> None:
        activity, module, feature = self._stage.pick(_ACTIONS)
        slow = 4.0 if self._stage.is_on(schedule.SLOW) else 1.0
        failed = activity == "order" and self._stage.is_on(schedule.API_FAILING) and self._stage.happens(0.7)
        self._emit(activity, session, module, feature, success=not failed, seconds=self._stage.about(0.2 * slow))

    def _attack(self) -> None:
        user_id, role = self._stage.random.choice(_USERS)
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
