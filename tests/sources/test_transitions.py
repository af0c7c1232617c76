"""Rows that change while exporters are killed: every change is counted once. The long run: tools/benchmarks."""

from pathlib import Path

from tools.stack.servers import Postgres
from tools.testing.transitions import count_under_kills

SECONDS = 8.0


def test_every_change_is_counted_once(postgres: Postgres, tmp_path: Path) -> None:
    """Eight writers with every statement there is, two exporters killed at random: nothing lost, nothing doubled."""
    try:
        outcome = count_under_kills(postgres, "transitions", "utf8", tmp_path, SECONDS)
    finally:
        postgres.drop_database("transitions")

    assert set(outcome.found.values()) == {(0, 0)}
    assert outcome.kills >= 5
    assert outcome.transactions["truncated"] >= 1
    assert outcome.ledger.total() > 1000
