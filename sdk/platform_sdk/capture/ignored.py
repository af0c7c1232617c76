"""Which exceptions the application wants no record of, in the request thread: one look-up for a class seen before."""

from collections.abc import Iterable

MOST_CLASSES = 1_000


class Ignored:
    """The option `ignore_errors`: classes, and names of classes, each with its subclasses.

    A name is that of the class alone, or with its module or the package by which it is imported:
    "django.http.Http404" is in truth "django.http.response.Http404".
    """

    def __init__(self, errors: Iterable[type[BaseException] | str]) -> None:
        given = list(errors)
        self._classes = tuple(error for error in given if isinstance(error, type))
        self._names = [error.rpartition(".") for error in given if isinstance(error, str)]
        self._known: dict[type, bool] = {}

    def __call__(self, error: BaseException) -> bool:
        """Return whether an exception is ignored."""
        kind = type(error)
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= MOST_CLASSES:
                self._known.clear()
            known = self._known[kind] = issubclass(kind, self._classes) or any(map(self._named, kind.__mro__))
        return known

    def _named(self, kind: type) -> bool:
        within = f"{kind.__module__}."
        return any(
            name in (kind.__name__, kind.__qualname__) and (not module or within.startswith(f"{module}."))
            for module, _, name in self._names
        )
