"""Errors in tables of applications: `errors list|show` and exports read them where they are."""

import json
from pathlib import Path

import pytest

from tests.servers import Database
from tests.sources.demo import DEMO, DemoSource, run

MAPPING = """app: shop
streams:
  errors:
    table: public.failures
    kind: error
    columns: {at: t.at, severity: t.severity, error_type: t.type, message: t.message}
    details: {stack_trace: t.trace, user_id: t.who}
"""


@pytest.fixture
def scitex(database: Database, tmp_path: Path) -> DemoSource:
    """Return the adopted demonstration database, which keeps its own issues."""
    database.load_sql(DEMO / "scitex.sql.gz")
    source = DemoSource(database, "scitex", tmp_path)
    assert source.adopt().exit_code == 0
    return source


def test_issues_that_an_application_keeps(scitex: DemoSource) -> None:
    """As many as it has combinations of type and endpoint, open while one occurrence is; with rows and stack traces."""
    options = ("--config", str(scitex.path), "--source", "scitex")
    expected = scitex.database.execute(
        "SELECT count(DISTINCT (error_type, endpoint)), "
        "count(DISTINCT (error_type, endpoint)) FILTER (WHERE NOT resolved) FROM monitoring_app_errorlog"
    )[0]
    listed = json.loads(run("errors", "list", "--json", *options).stdout)
    open_ = json.loads(run("errors", "list", "--json", "--status", "open", *options).stdout)
    id_ = max(listed["issues"], key=lambda issue: issue["events"])["id"]
    (issue,) = json.loads(run("errors", "show", id_, "--since", "3650d", "--json", *options).stdout)["issues"]

    assert (listed["total"], open_["total"]) == expected
    assert len(issue["occurrences"]) == min(10, issue["events"]) > 1
    assert "Traceback" in issue["stack_trace"]
    assert "Traceback" in run("errors", "show", id_, "--since", "3650d", *options).stdout


def test_what_an_application_keeps_is_not_changed_here(scitex: DemoSource) -> None:
    """It says whose it is, and changes nothing."""
    options = ("--config", str(scitex.path), "--source", "scitex")
    id_ = json.loads(run("errors", "list", "--json", *options).stdout)["issues"][0]["id"]
    result = run("errors", "resolve", id_, *options)

    assert result.exit_code == 1
    assert "kept by the application" in result.output


@pytest.mark.parametrize(("kind", "rows"), [("error", 57), ("error_issue", 29)])
def test_exports(scitex: DemoSource, kind: str, rows: int) -> None:
    """Rows with their message, issues with their id."""
    result = run(
        "export", kind, "--config", str(scitex.path), "--source", "scitex", "--since", "3650d", "--format", "json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)

    assert len(found) == rows
    assert {"error": "message", "error_issue": "id"}[kind] in found[0]
    assert all(row["message"].startswith("Sample error") for row in found)


def test_issues_of_an_adopted_table(database: Database, tmp_path: Path) -> None:
    """Those that the exporter keeps: occurrences come from the application's table, by what `details` adds as well."""
    database.execute(
        "CREATE TABLE failures (at timestamptz, severity text, type text, message text, trace text, who text); "
        "INSERT INTO failures SELECT now() - i * interval '1 min', 'high', 'E', '100% full', 'at line ' || i, 'u' || i "
        "FROM generate_series(1, 3) i"
    )
    (tmp_path / "m.yml").write_text(MAPPING)
    source = DemoSource(database, "m.yml", tmp_path)
    before = run("errors", "list", "--config", str(source.path))
    assert source.adopt().exit_code == 0
    source.poll()
    (listed,) = json.loads(run("errors", "list", "--json", "--config", str(source.path)).stdout)["issues"]
    (issue,) = json.loads(run("errors", "show", listed["id"], "--json", "--config", str(source.path)).stdout)["issues"]
    resolved = run("errors", "resolve", listed["id"], "--config", str(source.path))

    assert (before.exit_code, "run `platform-exporter adopt" in before.output) == (1, True)
    assert (issue["users"], issue["stack_trace"], len(issue["occurrences"])) == (3, "at line 1", 3)
    assert issue["occurrences"][0]["message"] == "100% full"
    assert resolved.exit_code == 0
