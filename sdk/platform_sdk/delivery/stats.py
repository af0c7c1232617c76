"""What became of this process's events, as the application sees it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stats:
    """The ledger of a process, counts of events: `dropped` by reason, `adopted` those of dead processes, stored here.

    Once no thread emits, `produced == stored + spooled + buffered + lost`. The names can be read as keys, too.
    """

    process: str = ""
    produced: int = 0
    stored: int = 0
    spooled: int = 0
    buffered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    adopted: int = 0

    @property
    def lost(self) -> int:
        """Return how many events were dropped, for whatever reason."""
        return sum(self.dropped.values())

    def __getitem__(self, name: str) -> Any:
        """Return a figure by its name, as in a mapping."""
        if name not in self.__slots__:
            raise KeyError(name)
        return getattr(self, name)
