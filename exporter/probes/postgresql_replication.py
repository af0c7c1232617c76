"""What a PostgreSQL server says about replication: its standbys, its slots, and how late it is as a standby itself."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.probes.base import Gauge, GaugeFamily

FAMILIES = (
    GaugeFamily("postgresql_standbys", "Standbys that stream from the server."),
    GaugeFamily(
        "postgresql_standby_lag_seconds",
        "For how long a standby has not replayed what the server has written.",
        ("standby",),
    ),
    GaugeFamily(
        "postgresql_replay_lag_seconds",
        "Of a standby: age of the newest transaction replayed, 0 while it replays all that it receives.",
    ),
    GaugeFamily("postgresql_slot_retained_bytes", "WAL that the server keeps for a replication slot.", ("slot",)),
)

DETAILS_MOST = 100

SQL = """
WITH here AS (
    SELECT pg_is_in_recovery() AS is_standby,
           CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS written
)
SELECT 'written', NULL, pg_wal_lsn_diff(written, '0/0') FROM here
 UNION ALL
SELECT 'replay lag', NULL,
       CASE WHEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL)
                 AND pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') >= {received:d} THEN 0
            ELSE greatest(0, extract(epoch FROM
                     now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))) END
  FROM here WHERE is_standby
 UNION ALL
SELECT 'may see standbys', NULL, 1 WHERE pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
 UNION ALL
(SELECT 'standby', application_name, pg_wal_lsn_diff(replay_lsn, '0/0')
   FROM pg_stat_replication
  WHERE replay_lsn IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid = pid)
  LIMIT {most:d})
 UNION ALL
(SELECT 'slot', slot_name, pg_wal_lsn_diff(written, restart_lsn)
   FROM pg_replication_slots, here
  WHERE restart_lsn IS NOT NULL AND NOT temporary AND slot_name !~ '^pg_[0-9]+_sync_[0-9]+_'
  ORDER BY 3 DESC LIMIT {most:d})
"""
"""Rows of what, name and figure: the WAL's end (of a standby, of what it has received), as a position in bytes; of a
standby its lag in seconds; whether this role sees standbys; what each of those has replayed, as a position; the bytes
kept for each slot, most first. `received` is the end as it was at the look before: where all that is replayed, however
long ago the last transaction was, the standby keeps up. Subscribers of logical replication are seen by their slots;
those that copy a table exist for minutes, under ever new names."""


@dataclass
class Lag:
    """For how long one standby has not replayed a position, by looks at it: PostgreSQL's own replay_lag stands still
    while a standby does, and is absent while nothing is written."""

    target: float
    since: float
    missing_at: float
    last_seconds: float = 0.0

    def seconds(self, replayed: float, written: float, now: float) -> float:
        """Return the lag; while a standby is steadily late, what it was late with the position before."""
        if replayed >= self.target:
            self.last_seconds = self.missing_at - self.since
            self.target, self.since = written, now
        self.missing_at = now
        return max(self.last_seconds, now - self.since)


class Replication:
    """What is remembered of one server between looks."""

    def __init__(self) -> None:
        self._written = 0.0
        self._lags: dict[str, Lag] = {}

    def sql(self) -> str:
        """Return what to ask."""
        return SQL.format(received=int(self._written), most=DETAILS_MOST)

    def gauges(self, rows: Sequence[Sequence[str | None]]) -> Iterator[Gauge]:
        """Yield what the answer shows."""
        now, standbys = time.monotonic(), 0
        replayed: dict[str, float] = {}
        for what, name, figure in rows:
            value = float(figure or 0)
            match what:
                case "written":
                    self._written = value
                case "replay lag":
                    yield Gauge("postgresql_replay_lag_seconds", value)
                case "slot":
                    yield Gauge("postgresql_slot_retained_bytes", max(0.0, value), {"slot": name or ""})
                case "standby":
                    standbys += 1
                    replayed[name or ""] = min(value, replayed.get(name or "", value))
        if any(what == "may see standbys" for what, _, _ in rows):
            yield Gauge("postgresql_standbys", standbys)
        self._lags = {name: self._lags.get(name) or Lag(self._written, now, now) for name in replayed}
        for name, position in replayed.items():
            seconds = self._lags[name].seconds(position, self._written, now)
            yield Gauge("postgresql_standby_lag_seconds", seconds, {"standby": name})
