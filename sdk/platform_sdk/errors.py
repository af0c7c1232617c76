"""The errors that the SDK raises on purpose. None of them ever reaches the application.

SDKError
├── HookError               a library lacks what a hook replaces
├── OptionError             an option of init() or of the environment
├── UnavailableError        the event store accepts no events now
├── ConnectionBrokenError   there is no connection to PostgreSQL
└── ServerError             PostgreSQL refused a statement
"""


class SDKError(Exception):
    """Base class of the SDK's own errors."""


class HookError(SDKError):
    """Raised when this version of a library has no method of the name that a hook replaces."""


class OptionError(SDKError):
    """Raised when an option is missing, unknown, or has an invalid value."""


class UnavailableError(SDKError):
    """Raised when the event store accepts no events now."""


class ConnectionBrokenError(SDKError):
    """Raised when no connection can be made, or when it broke; only libpq's message says why."""


class ServerError(SDKError):
    """Raised when PostgreSQL refused a statement or a login.

    `table` is the one that it names, if any; `routine` the function of its source that refused a login, if it said so.
    """

    def __init__(self, sqlstate: str, message: str, table: str = "", routine: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.table = table
        self.routine = routine
