"""Define the errors that the SDK raises on purpose. None of them ever reaches the application.

SDKError
├── OptionError         an option of init() or of the environment
└── UnavailableError    the database takes no events now
"""


class SDKError(Exception):
    """Base class of the SDK's own errors."""


class OptionError(SDKError):
    """Raised when an option is missing, unknown, or has an invalid value."""


class UnavailableError(SDKError):
    """Raised when the database takes no events now."""
