"""The one error of this package."""


class StackError(Exception):
    """Raised when a server or its program cannot be had; the message says what is missing and what to do."""
