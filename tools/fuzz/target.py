"""What a fuzzer declares: how one input is made, and what must hold for it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import ClassVar

Check = Callable[[bytes], None]
"""What checks one input. It raises AssertionError where something is not as promised; whatever else it raises is an
error that nobody foresaw."""


class Target(ABC):
    """One target. `cases` is how many inputs `make fuzz` tries, `few` how many the tests try."""

    name: ClassVar[str]
    cases: ClassVar[int]
    few: ClassVar[int]
    limit_seconds: ClassVar[float] = 1.0
    """How much processor time one input may take."""

    limit_megabytes: ClassVar[float] = 200.0
    """How much memory the whole process may take; of a target that starts servers in it, with them."""

    @abstractmethod
    def make(self, random: Random) -> bytes:
        """Return an input, the same for the same random numbers."""

    @abstractmethod
    def checking(self) -> AbstractContextManager[Check]:
        """Start what the inputs are tried on, return the check, and end it all in the end."""
