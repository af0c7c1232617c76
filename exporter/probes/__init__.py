"""The components a platform stands on: the kinds of probes there are, and those that a configuration names."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from exporter.probes.base import Probe, Reason
from exporter.probes.http import HttpProbe
from exporter.probes.minio import MinioProbe
from exporter.probes.postgresql import PostgresqlProbe
from exporter.probes.redis import RedisProbe
from exporter.sections import Problem, Section, duplicates

PROBES: tuple[type[Probe], ...] = (
    PostgresqlProbe,
    RedisProbe,
    MinioProbe,
    HttpProbe,
)
"""Every kind of probe. Settings, checks, metric families and documents come from what each declares."""

REASONS = tuple(dict.fromkeys((*map(str, Reason), *(reason for kind in PROBES for reason in kind.reasons))))
WEAKNESSES = tuple(dict.fromkeys(weakness for kind in PROBES for weakness in kind.weaknesses))


class _Targets(Section, frozen=True):
    """The components to probe at every scrape, by kind."""

    def problems(self) -> Iterator[Problem]:
        for kind in self.__struct_fields__:
            yield from duplicates(kind, [target.name for target in getattr(self, kind)])


if TYPE_CHECKING:

    class Probes(_Targets, frozen=True):
        """The section `probes`: of every kind a tuple of its targets."""

        def __init__(self, **targets: Any) -> None: ...
        def __getattr__(self, kind: str) -> tuple[Any, ...]: ...

else:
    Probes = msgspec.defstruct(
        "Probes",
        [(kind.component, tuple[kind.target, ...], ()) for kind in PROBES],
        bases=(_Targets,),
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def build(settings: Probes) -> list[Probe]:
    """Build the probes that the configuration names. Connects to nothing."""
    return [kind(target) for kind in PROBES for target in getattr(settings, kind.component)]


def example() -> str:
    """Return the section `probes` of the example configuration, every kind with every key, in comments."""
    lines = ["probes:                       # default: none"]
    for kind in PROBES:
        first, *rest = kind.example.strip("\n").splitlines()
        lines += [f"  {kind.component}:", f"    - {first}", *(f"      {line}" for line in rest)]
    return "".join(f"# {line}\n" for line in lines)
