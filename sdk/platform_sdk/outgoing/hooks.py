"""What the hooks of all HTTP libraries share: the rules that calls are recorded by, and replaced methods."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from platform_sdk.diagnostics import note
from platform_sdk.errors import HookError


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The response that `blocked` is asked about, whatever the library; `content` is the whole body."""

    status_code: int
    headers: Mapping[str, str]
    url: str
    content: bytes

    @property
    def text(self) -> str:
        """Return the body as text; what is not UTF-8 in it is replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's JSON. Raises ValueError."""
        return json.loads(self.content)


Apis = Mapping[str, str] | None
Blocked = Callable[[ApiResponse], bool] | None


class Rules:
    """Which calls are recorded, and under which name.

    `apis` maps hosts to names: "api.example.org" is that host, "api.example.org:8443" that port of it, and
    "*.example.org" any host below, in any case. Other hosts have their own name, or with `only_named` are left out.
    `blocked` is asked about each response below 400 whose body was read, whether it is useless all the same.
    """

    def __init__(self, apis: Apis = None, blocked: Blocked = None, only_named: bool = False) -> None:
        self._apis = {str(host).lower(): str(name) for host, name in (apis or {}).items()}
        self.blocked = blocked
        self._only_named = only_named

    def api_of(self, host: str, port: int | None) -> str | None:
        """Return the name of the API at this host, None where it is not to be recorded."""
        name = self._apis.get(f"{host}:{port}") if port is not None else None
        name = name or self._apis.get(host)
        parent = host
        while name is None and "." in parent:
            parent = parent.partition(".")[2]
            name = self._apis.get(f"*.{parent}")
        return name or (None if self._only_named else host)

    def blocks(self, response: Callable[[], ApiResponse]) -> bool:
        """Return what `blocked` says, False where it fails."""
        if self.blocked is None:
            return False
        try:
            return bool(self.blocked(response()))
        except Exception as error:  # noqa: BLE001 - the user's code, and never into the application
            note("blocked", error)
            return False


class Patch:
    """One replaced method of a class; `original` is what to call for the real thing.

    Where another library replaced the method after us, ours cannot be taken out from under it: it then stays, and
    must do nothing but call `original`.
    """

    def __init__(self, owner: type, name: str, replacement: Any) -> None:
        self._owner, self._name, self._replacement = owner, name, replacement
        self.original: Any = None
        self._applied = False
        self._users: set[object] = set()

    def apply(self, user: object = None) -> None:
        """Replace the method for a hook, unless it is replaced already."""
        self._users.add(user)
        if not self._applied:
            self.check()
            self.original, self._applied = getattr(self._owner, self._name), True
            setattr(self._owner, self._name, self._replacement)

    def check(self) -> None:
        """Raise HookError where this version of the library has no such method."""
        if not any(self._name in vars(kind) for kind in self._owner.__mro__ if kind is not object):
            raise HookError(f"{self._owner.__module__}.{self._owner.__qualname__} has no {self._name!r}")

    def remove(self, user: object = None) -> None:
        """Put the original back when no hook needs it, unless something else was put on top of ours."""
        self._users.discard(user)
        if self._applied and not self._users and self._owner.__dict__.get(self._name) is self._replacement:
            setattr(self._owner, self._name, self.original)
            self._applied = False


class Hook:
    """A library's replaced methods, and the rules in force."""

    def __init__(self, *patches: Patch) -> None:
        self._patches = patches
        self.rules: Rules | None = None

    def install(self, apis: Apis = None, *, blocked: Blocked = None, only_named: bool = False) -> None:
        """Record the library's calls by these rules (see `Rules`); a second call changes the rules.

        Where this version of the library lacks one of the methods, none is replaced: the log says so, and nothing is
        recorded.
        """
        try:
            self._install(Rules(apis, blocked, only_named))
        except HookError as error:
            note("install", f"nothing is recorded: {error}")

    def _install(self, rules: Rules) -> None:
        for patch in self._patches:
            patch.check()
        self.rules = rules
        for patch in self._patches:
            patch.apply(self)

    def ensure(self) -> None:
        """Record the library's calls, unless the application installed this already."""
        if self.rules is None:
            self._install(Rules())

    def uninstall(self) -> None:
        """Leave the library as it was found; what was made meanwhile records nothing more."""
        self.rules = None
        for patch in self._patches:
            patch.remove(self)
