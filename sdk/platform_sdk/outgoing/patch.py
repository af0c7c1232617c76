"""Replace a method of a class, and put it back."""

from typing import Any


class Patch:
    """Hold one replacement; `original` is what to call for the real thing.

    Where another library replaced the method after us, ours cannot be taken out from under it: it then stays, and
    must do nothing but call `original`.
    """

    def __init__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name
        self.original: Any = None
        self._ours: Any = None

    def apply(self, replacement: Any) -> None:
        """Replace the method, unless it is replaced already."""
        if self._ours is None:
            self.original, self._ours = getattr(self._owner, self._name), replacement
            setattr(self._owner, self._name, replacement)

    def remove(self) -> None:
        """Put the original back where nobody put anything on top."""
        if self._ours is not None and self._owner.__dict__.get(self._name) is self._ours:
            setattr(self._owner, self._name, self.original)
            self._ours = None
