"""Links from errors and requests to their traces, wherever those are."""

import pytest

from grafana.queries.shared import TRACE_URL
from tests.servers import Database
from tools.testing.dashboard_sql import expanded

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
JAEGER = "https://jaeger.example.org/trace/{trace_id}"


def url(database: Database, template: str, trace_id: str | None = ID, sampled: bool | None = True) -> str:
    sql = expanded(TRACE_URL, 0, 1, {"traces": [template]}).replace("%", "%%")
    row = "SELECT %s::text AS trace_id, %s::boolean AS trace_sampled"
    return str(database.execute(f"SELECT {sql} FROM ({row}) found", [trace_id, sampled])[0][0])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (JAEGER, f"https://jaeger.example.org/trace/{ID}"),
        ('/explore?left=["now-1h","now","tempo",{"query":"{trace_id}"}]',
         f'/explore?left=["now-1h","now","tempo",{{"query":"{ID}"}}]'),
        ("", "#"),
        ("https://jaeger.example.org/", "#"),
        ("javascript:alert('{trace_id}')", "#"),
        ("//elsewhere.example.org/{trace_id}", "#"),
        ("it's {trace_id}", "#"),
    ],
)  # fmt: skip
def test_address_of_a_trace(database: Database, template: str, expected: str) -> None:
    """What a viewer types in is an address with the trace's id, or nothing."""
    assert url(database, template) == expected


@pytest.mark.parametrize(
    ("trace_id", "sampled", "linked"),
    [
        (ID, True, True),
        (ID, None, True),
        (ID, False, False),
        (None, True, False),
        ("", True, False),
        ("a/../b", True, False),
    ],
)
def test_which_rows_have_a_link(database: Database, trace_id: str | None, sampled: bool | None, linked: bool) -> None:
    """Those whose trace may have been kept."""
    assert (url(database, JAEGER, trace_id, sampled) != "#") is linked
