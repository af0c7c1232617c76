"""Say which calls are recorded, and under which name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_sdk.diagnostics import note


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predicate of the user's is shown of an answer, by whatever library; `content` is the whole body."""

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
        import json

        return json.loads(self.content)


Predicate = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """Hold what the user chose.

    `apis` maps hosts to names: "api.example.org" is that host, "api.example.org:8443" that port of it, and
    "*.example.org" any host below. Other hosts are named by themselves, or with `only_named` not recorded.
    `blocked` is asked about each answer below 400 whose body was read, whether it is useless all the same.
    """

    apis: Mapping[str, str] = field(default_factory=dict)
    blocked: Predicate | None = None
    only_named: bool = False

    def api_of(self, host: str, port: int | None) -> str | None:
        """Return the name of the API at this host, None where it is not to be recorded."""
        name = self.apis.get(f"{host}:{port}") if port is not None else None
        name = name or self.apis.get(host)
        parent = host
        while name is None and "." in parent:
            parent = parent.partition(".")[2]
            name = self.apis.get(f"*.{parent}")
        return name or (None if self.only_named else host)

    def blocks(self, answer: Callable[[], Answer]) -> bool:
        """Ask the user's predicate; what fails in it counts as no."""
        if self.blocked is None:
            return False
        try:
            return bool(self.blocked(answer()))
        except Exception as error:  # noqa: BLE001 - the user's code, and never into the application
            note("blocked", error)
            return False


def rules_of(
    apis: Mapping[str, str] | None = None, blocked: Predicate | None = None, only_named: bool = False
) -> Rules:
    """Return rules; names of hosts are compared in lower case."""
    return Rules({str(host).lower(): str(name) for host, name in (apis or {}).items()}, blocked, only_named)
