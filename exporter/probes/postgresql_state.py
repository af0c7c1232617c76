"""How a PostgreSQL server is: what is asked in every check, and the answer."""

STATE_SQL = """
SELECT pg_is_in_recovery(),
       current_setting('transaction_read_only') = 'on',
       CASE WHEN current_setting('transaction_read_only') = 'on'
            THEN (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') END,
       current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true), '0')::int,
       count(*) FILTER (WHERE is_client),
       CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN greatest(
           0,
           extract(epoch FROM now() - min(xact_start) FILTER (WHERE is_client AND pid <> pg_backend_pid())),
           (SELECT extract(epoch FROM now() - min(prepared)) FROM pg_prepared_xacts)
       ) END,
       (SELECT greatest(max(age(datfrozenxid)), max(mxid_age(datminmxid))) FROM pg_database) / 2147483648.0
  FROM (SELECT pid, xact_start,
               coalesce(backend_type = 'client backend', datid IS NOT NULL AND usesysid IS NOT NULL) AS is_client
          FROM pg_stat_activity) AS backends
"""
"""One row: in recovery, read-only, where default_transaction_read_only was set (NULL unless read-only), connections
that ordinary roles may open, connections open, age in seconds of the oldest transaction, prepared ones too (0 where
there is none; NULL where this role may not see those of others), used share of the ids of transactions, or of groups
of them that lock a row: a server that has none left accepts no writes. `backend_type` is NULL where this role may not
see it; then what belongs to a database and a role is taken for a client."""

_OURS_ONLY = frozenset({"user", "database user", "client", "session"})
"""Where a role or this very connection was made read-only, others can still write."""


class State:
    """The row of STATE_SQL."""

    def __init__(self, *row: str | None) -> None:
        recovery, read_only, self.read_only_source, limit, used, oldest, ids_used = row
        self.in_recovery = recovery == "t"
        self.refuses_writes = read_only == "t" and self.read_only_source not in _OURS_ONLY
        self.connections_limit = int(limit or 0)
        self.connections = int(used or 0)
        self.oldest_transaction_seconds = None if oldest is None else float(oldest)
        self.transaction_ids_used_ratio = float(ids_used or 0)
