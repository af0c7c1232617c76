"""What tests of issues look at."""

from tests.aggregation.counting import Store


def id_of(store: Store, app: str, error_type: str = "ValueError") -> str:
    """Return an issue's id."""
    query = "SELECT id FROM monitoring.error_issue WHERE app = %s AND error_type = %s"
    return str(store.one(query, [app, error_type]))


def statuses(store: Store) -> dict[str, str]:
    """Return each issue's status, by app and type."""
    return dict(store.execute("SELECT app || ' ' || error_type, status FROM monitoring.error_issue"))


def audit(store: Store) -> list[tuple[object, ...]]:
    """Return who did what, in order."""
    return store.execute(
        "SELECT actor, action, details->>'app', details->>'from', details->>'to', details->>'via' "
        "FROM monitoring.audit ORDER BY at, details->>'app', details->>'fingerprint'"
    )
