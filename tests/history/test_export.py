"""`platform-exporter export`: the rows of a kind as CSV, JSON and Parquet."""

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.database import schema
from tests.servers import Database, fresh_database
from tests.sources.demo import DEMO
from tools.stack.servers import Postgres
from tools.testing.exporter import command

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[Database]:
    """Return an event store with six requests, a minute apart, and a sample with labels."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        for number, route in enumerate(["/a", "/b", "/api/x", "/api/y", 'a,"quoted"\nline', "/ü"]):
            database.execute(
                "INSERT INTO monitoring.http_request (at, app, route, method, status, duration_seconds, ip, user_id) "
                "VALUES (%s, 'shop', %s, 'GET', %s, 0.25, '192.0.2.0', %s)",
                [START + timedelta(minutes=number), route, 200 + 100 * (number % 4), "u" if number % 2 else None],
            )  # fmt: skip
        database.execute(
            "INSERT INTO monitoring.sample (at, app, name, kind, value, labels) "
            "VALUES (%s, 'shop', 'depth', 'gauge', 3, '{\"queue\": \"a\"}'), (%s, 'shop', 'depth', 'gauge', 4, NULL)",
            [START, START],
        )  # fmt: skip
        yield database


@pytest.fixture
def config(store: Database, tmp_path: Path) -> Path:
    """Return a configuration that names the store."""
    path = tmp_path / "platform-exporter.yml"
    path.write_text(f"database: {{dsn: '{store.dsn}'}}\n")
    return path


def export(config: Path, kind: str, *options: object) -> Result:
    """Run the command over the whole day, in this process."""
    span = ["--since", "2026-03-01", "--until", "2026-03-02"]
    return CliRunner().invoke(main, ["export", kind, "--config", str(config), *span, *map(str, options)])


def rows(result: Result) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout, newline="")))


def test_csv_has_every_row_in_order(config: Path) -> None:
    """A header and a line a row, oldest first; quotes, line ends and letters survive."""
    found = rows(export(config, "http_request"))

    assert [row["route"] for row in found] == ["/a", "/b", "/api/x", "/api/y", 'a,"quoted"\nline', "/ü"]
    assert found[0]["status"] == "200"
    assert datetime.fromisoformat(found[0]["at"]) == START


class Ahead(datetime):
    """The clock of a host that is two days ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Ahead":  # type: ignore[override]
        there = super().now(tz) + timedelta(days=2)
        return cls.fromtimestamp(there.timestamp(), tz)


def test_since_is_by_the_database_s_clock(config: Path, store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duration ends at the server's now: the newest rows are in it, whatever this host's clock says."""
    monkeypatch.setattr("exporter.commands.export.datetime", Ahead)
    store.execute("INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds) "
                  "VALUES (now() - interval '1 hour', 'shop', 'new', 'success', 1)")  # fmt: skip
    options = ["--config", str(config), "--since", "24h"]

    assert [row["api"] for row in rows(CliRunner().invoke(main, ["export", "api_call", *options]))] == ["new"]


FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0d1"]


def test_spreadsheet_runs_nothing(postgres: Postgres, store_template: str, tmp_path: Path) -> None:
    """A text that is a formula begins with an apostrophe, in CSV only; what only looks like one does not."""
    plain = ["'=1", " =1", "a=1", "", "1-1"]
    with fresh_database(postgres, store_template) as database:
        for text in [*FORMULAS, *plain]:
            database.execute(
                "INSERT INTO monitoring.error (at, app, severity, error_type, message) "
                "VALUES (%s, 'shop', 'low', 'E', %s)",
                [START, text],
            )  # fmt: skip
        path = tmp_path / "platform-exporter.yml"
        path.write_text(f"database: {{dsn: '{database.dsn}'}}\n")
        as_csv = rows(export(path, "error", "--personal"))
        as_json = json.loads(export(path, "error", "--format", "json", "--personal").stdout)

    assert {row["message"] for row in as_csv} == {*("'" + text for text in FORMULAS), *plain}
    assert {row["message"] for row in as_json} == {*FORMULAS, *plain}


def test_negative_number_stays_a_number(store: Database, config: Path) -> None:
    """A column of numbers needs no apostrophe."""
    at = START + timedelta(hours=2)
    store.execute(
        "INSERT INTO monitoring.sample (at, app, name, kind, value) VALUES (%s, '-a', 'depth', 'gauge', -1.5)", [at]
    )
    (row,) = rows(export(config, "sample", "--where", "value<0"))

    assert (row["app"], row["value"], row["at"]) == ("'-a", "-1.5", "2026-03-01T02:00:00+00:00")
    store.execute("DELETE FROM monitoring.sample WHERE value < 0")


def test_where_understands_spellings(store: Database, config: Path) -> None:
    """A value that is declared finds the rows that counters have there; another is compared as it stands."""
    at = START + timedelta(hours=2)
    store.execute(
        "INSERT INTO monitoring.error (at, app, severity, error_type, message) "
        "SELECT %s, 'spelled', severity, 'E', severity FROM unnest(ARRAY['fatal', 'CRITICAL', 'high']) severity", [at]
    )  # fmt: skip

    def messages(*conditions: str) -> set[str]:
        options = [part for text in ("app=spelled", *conditions) for part in ("--where", text)]
        return {row["message"] for row in rows(export(config, "error", *options))}

    assert messages("severity=critical") == {"fatal", "CRITICAL"}
    assert messages("severity!=critical") == {"high"}
    assert messages("severity=fatal") == {"fatal"}
    store.execute("DELETE FROM monitoring.error WHERE app = 'spelled'")


def test_byte_order_mark(config: Path) -> None:
    """Excel reads a CSV as UTF-8 where it begins with a mark; other formats have none."""
    marked = export(config, "http_request", "--bom").stdout_bytes
    refused = export(config, "http_request", "--bom", "--format", "json")

    assert marked.startswith(b"\xef\xbb\xbfat,app,")
    assert (refused.exit_code, "--format csv" in refused.stderr) == (2, True)


def test_personal_columns_are_asked_for(config: Path) -> None:
    """Addresses are only exported on request."""
    assert "ip" not in rows(export(config, "http_request"))[0]
    assert rows(export(config, "http_request", "--personal"))[0]["ip"] == "192.0.2.0"
    refused = export(config, "http_request", "--columns", "at,ip")
    assert (refused.exit_code, "--personal" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("conditions", "routes"),
    [
        (["status>=400"], ["/api/x", "/api/y"]),
        (["route~^/api/"], ["/api/x", "/api/y"]),
        (["route!~^/"], ['a,"quoted"\nline']),
        (["user_id is null", "status=200"], ["/a", 'a,"quoted"\nline']),
        (["user_id is not null", "status != 300"], ["/api/y"]),
        (["at>=2026-03-01T00:04:00Z"], ['a,"quoted"\nline', "/ü"]),
        (["route='; drop table x"], []),
        (["route=100%"], []),
    ],
    ids=str,
)
def test_conditions(config: Path, conditions: list[str], routes: list[str]) -> None:
    """All conditions hold for what is written, and a value is never SQL."""
    options = [part for text in conditions for part in ("--where", text)]

    assert [row["route"] for row in rows(export(config, "http_request", *options))] == routes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "nonsense"], "invalid condition 'nonsense' for --where: expected COLUMN OPERATOR VALUE"),
        (["--where", "colour=red"], "http_request has no column colour: expected one of at, app"),
        (["--where", "route.x=1"], "route is text: expected JSON"),
        (["--since", "yesterday"], "invalid time 'yesterday': expected e.g. 90m, 24h or 7d"),
        (["--since", "2026-03-03"], "is not before --until"),
        (["--source", "elsewhere"], "`sources` has no entry named 'elsewhere': expected one of native"),
        (["--columns", "at,colour"], "no column 'colour'"),
    ],
    ids=str,
)
def test_mistakes_are_named(config: Path, options: list[str], said: str) -> None:
    """One line says what is invalid and what was expected; the exit status is that of wrong usage."""
    result = export(config, "http_request", *options)

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_value_of_another_type_is_refused_by_the_database(config: Path) -> None:
    """PostgreSQL's own words reach the person."""
    result = export(config, "http_request", "--where", "status=good")

    assert result.exit_code == 1
    assert 'invalid input syntax for type smallint: "good"' in result.stderr or "integer" in result.stderr


def test_json_is_an_array_of_objects(config: Path) -> None:
    """Numbers are numbers, nested JSON is nested, NULL is null; no row is an empty array."""
    samples = json.loads(export(config, "sample", "--format", "json", "--personal").stdout)
    none = json.loads(export(config, "sample", "--format", "json", "--where", "value>9").stdout)

    assert sorted((one["value"], str(one["labels"])) for one in samples) == [(3, "{'queue': 'a'}"), (4, "None")]
    assert none == []


def test_condition_on_a_key_of_json(config: Path) -> None:
    """A label of a sample can be asked for."""
    found = rows(export(config, "sample", "--where", "labels.queue=a"))

    assert [row["value"] for row in found] == ["3"]


def test_parquet_has_types(config: Path, tmp_path: Path) -> None:
    """Times are times in UTC, numbers numbers, NULLs NULLs."""
    file = tmp_path / "requests.parquet"
    result = export(config, "http_request", "--format", "parquet", "--personal", "-o", file)
    assert result.exit_code == 0, result.stderr
    table = pyarrow.parquet.read_table(file)

    assert table.num_rows == 6
    assert table.column("at")[0].as_py() == START
    assert table.column("duration_seconds")[0].as_py() == 0.25
    assert table.column("user_id").to_pylist() == [None, "u"] * 3
    assert table.column("ip")[0].as_py() == "192.0.2.0"


def test_file_takes_its_name_when_it_is_whole(config: Path, tmp_path: Path) -> None:
    """An export that fails leaves the file of the one before, and no rest of its own."""
    file = tmp_path / "out/requests.csv"
    file.parent.mkdir()
    assert export(config, "http_request", "-o", file).exit_code == 0
    before = file.read_bytes()
    failed = export(config, "http_request", "--where", "status=good", "-o", file)

    assert failed.exit_code == 1
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["requests.csv"]


def test_folder_that_is_not_there(config: Path, tmp_path: Path) -> None:
    """The option is named."""
    result = export(config, "http_request", "-o", tmp_path / "missing/x.csv")

    assert result.exit_code == 1
    assert "--output" in result.stderr


def test_adopted_tables_export_as_their_kind(postgres: Postgres, tmp_path: Path) -> None:
    """An application's own table comes in the columns of the kind it is mapped to; nothing needs to be adopted."""
    with fresh_database(postgres) as database:
        database.load_sql(DEMO / "stratlogic.sql.gz")
        path = tmp_path / "stratlogic.yml"
        path.write_text(f"database: {{dsn: '{database.dsn}'}}\nsources: [{{preset: stratlogic}}]\n")
        database.execute("CREATE SCHEMA IF NOT EXISTS monitoring")
        options = ["--config", str(path), "--since", "2000-01-01", "--where", "outcome=failure"]
        result = CliRunner().invoke(main, ["export", "scraping_run", *options])
        [(failures,)] = database.execute("SELECT count(*) FROM scraping_metrics WHERE success = 0")

        found = rows(result)
        assert len(found) == failures > 0
        assert {row["app"] for row in found} == {"stratlogic"}


def test_standard_output_holds_nothing_else(config: Path) -> None:
    """What is said to a person goes to standard error, so that the output can be piped."""
    argv = command("export", "http_request", "--config", config, "--since", "2026-03-01", "--until", "2026-03-02")
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.startswith("at,app,release,route,")
    assert run.stderr == "6 rows of http_request from native written to standard output\n"
