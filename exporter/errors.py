"""Define every exception this package raises on purpose.

    PlatformError
    ├── ConfigError            a key of the configuration: exit status 2
    │   ├── WebConfigError     a key of the --web.config.file
    │   ├── TimeTextError      a time or a span of time, as people type it
    │   ├── FilterError        a column or a condition on the command line
    │   └── AlertInputError    a matcher or a label of an alert on the command line
    ├── DatabaseError          a PostgreSQL server or what is in it
    │   ├── UnreachableError   no connection, or it broke
    │   ├── VersionError       older than PostgreSQL 13
    │   ├── StandbyError       a hot standby, where a primary is needed
    │   ├── RightsError        a privilege is missing; the message holds the GRANT
    │   ├── SchemaError        the `monitoring` schema is missing or newer than this program
    │   └── MappingError       a table or column that a mapping names does not exist, or the mapping is malformed
    ├── AlertsError            the history of alerts, or alerts by hand
    │   ├── PayloadError       a post that is no notification of Alertmanager's
    │   ├── SpoolError         posts cannot be kept on the disk
    │   └── AlertmanagerError  no Alertmanager answers, or it refuses a request
    ├── IssuesError            error issues, as people change them
    │   ├── ChangeError        what is asked for makes no sense
    │   ├── UnknownIssueError  no issue has that id
    │   └── CountError         other issues are meant than the caller thinks
    ├── ListenError            the listen address cannot be bound
    ├── AdoptError             a table could not be adopted
    ├── ExportError            rows could not be written
    ├── BackfillError          the past could not be given to Prometheus
    └── DemoError              the played platform cannot go on

Every message names the key (or table), the value, what was wanted and what to do; none ever holds a secret.
"""


class PlatformError(Exception):
    """Be the base of all errors a caller may want to show to a person."""


class ConfigError(PlatformError):
    """Say that one key of the configuration is wrong."""


class WebConfigError(ConfigError):
    """Say that one key of the web configuration file (TLS, users, headers) is wrong."""


class TimeTextError(ConfigError):
    """Say that a text is no time, or no span of time."""


class FilterError(ConfigError):
    """Say that a column or a condition given on the command line makes no sense."""


class AlertInputError(ConfigError):
    """Say that a matcher or a label given on the command line makes no sense."""


class DatabaseError(PlatformError):
    """Be the base of everything that a PostgreSQL server can refuse."""


class UnreachableError(DatabaseError):
    """Say that no connection could be made, or that it broke."""


class VersionError(DatabaseError):
    """Say that the server is older than PostgreSQL 13, which brought pg_snapshot and xid8."""


class StandbyError(DatabaseError):
    """Say that the server is in recovery: its snapshots list no transactions, so nothing can be counted there."""


class RightsError(DatabaseError):
    """Say which privilege is missing, with the GRANT that gives it."""


class SchemaError(DatabaseError):
    """Say that the schema `monitoring` is missing, incomplete or newer than this program."""


class MappingError(DatabaseError):
    """Say that a mapping is malformed or names what the database does not have."""


class AlertsError(PlatformError):
    """Be the base of what concerns the history of alerts, and alerts by hand."""


class PayloadError(AlertsError):
    """Say what a post lacks to be a notification of Alertmanager's."""


class SpoolError(AlertsError):
    """Say that a post cannot be kept on the disk: no room, no right, a broken disk."""


class AlertmanagerError(AlertsError):
    """Say which Alertmanager does not answer, or what it refuses."""


class IssuesError(PlatformError):
    """Be the base of what concerns changes of error issues by people."""


class ChangeError(IssuesError):
    """Say what of a change does not fit together, or is out of bounds."""


class UnknownIssueError(IssuesError):
    """Say which id is no issue's, or several's."""


class CountError(IssuesError):
    """Say that another number of issues is meant than the caller thinks, or too many."""


class ListenError(PlatformError):
    """Say that the listen address cannot be bound."""


class AdoptError(PlatformError):
    """Say that a table could not be adopted, and why."""


class ExportError(PlatformError):
    """Say that rows could not be written, and why."""


class BackfillError(PlatformError):
    """Say that the past could not be turned into blocks of Prometheus's database, and why."""


class DemoError(PlatformError):
    """Say that the played platform cannot go on."""
