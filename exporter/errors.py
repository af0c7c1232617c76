"""The exceptions that this package raises on purpose.

    PlatformError
    ├── ConfigError            exit status 2
    │   ├── WebConfigError
    │   └── TimeTextError
    ├── DatabaseError
    │   ├── UnreachableError
    │   ├── DoubledStoreError
    │   ├── SchemaError
    │   └── MappingError
    ├── UnreadableError
    ├── AlertmanagerError
    ├── NotificationError
    ├── GrafanaError
    ├── SendError
    ├── SpoolError
    ├── StateError
    ├── ChangeError
    ├── UnknownIssueError
    │   └── AmbiguousIssueError
    └── CountError

Every message names the key (or table), its value, what was expected and what to do; none ever holds a secret.
"""


class PlatformError(Exception):
    """Base class of all errors whose message is meant for people."""


class ConfigError(PlatformError):
    """Raised when a key of the configuration or a value on the command line is invalid."""


class WebConfigError(ConfigError):
    """Raised when a key of the web configuration file (TLS, users, headers) is invalid."""


class TimeTextError(ConfigError):
    """Raised when a text is not a time, or not a duration."""


class DatabaseError(PlatformError):
    """Raised when a server is too old, read-only, or denies a privilege (the message holds the GRANT)."""


class UnreachableError(DatabaseError):
    """Raised when PostgreSQL cannot be reached, or a connection broke."""


class DoubledStoreError(DatabaseError):
    """Raised when the event store of a source is counted by another source already."""


class SchemaError(DatabaseError):
    """Raised when the schema `monitoring` is missing, incomplete or newer than this program."""


class MappingError(DatabaseError):
    """Raised when a mapping is malformed or names a table or column that does not exist."""


class UnreadableError(PlatformError):
    """Raised when a file is not a text that can be used; its message is why, in a few words."""


class AlertmanagerError(PlatformError):
    """Raised when an Alertmanager does not answer, or refuses a request."""


class NotificationError(PlatformError):
    """Raised when a request is not a notification of Alertmanager's."""


class GrafanaError(PlatformError):
    """Raised when Grafana does not answer, or does not take a dashboard."""


class SendError(PlatformError):
    """Raised when a message of the dead man's switch cannot be sent."""


class SpoolError(PlatformError):
    """Raised when a notification cannot be written to the spool."""


class StateError(PlatformError):
    """Raised when what was shown cannot be read from the state folder or written there."""


class ChangeError(PlatformError):
    """Raised when a change of error issues is contradictory or out of bounds."""


class UnknownIssueError(PlatformError):
    """Raised when an id belongs to no issue, or to several."""


class AmbiguousIssueError(UnknownIssueError):
    """Raised when the beginning of an id is that of several issues."""


class CountError(PlatformError):
    """Raised when a change would affect another number of issues than expected, or too many."""
