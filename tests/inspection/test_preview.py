"""`preview` of tables in every state that applications leave them in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from psycopg.conninfo import make_conninfo

from exporter.inspection import sampling
from tests.servers import Database
from tests.sources.demo import DEMO, DemoSource, run

MAPPING = """app: shop
streams:
  calls:
    table: public.calls
    kind: api_call
    where: t.api <> 'test'
    columns:
      at: t.made_at
      api: t.api
      outcome: t.outcome
      duration_seconds: t.took::double precision
      status: t.status
      query: t.query
"""

TABLE = """CREATE TABLE calls (id bigserial PRIMARY KEY, made_at timestamp, api text, outcome text, took text,
    status text, query jsonb);
INSERT INTO calls (made_at, api, outcome, took, status, query)
    SELECT (now() AT TIME ZONE 'UTC') + h, a, o, d, s, '{"secret": "4111"}' FROM (VALUES
        (interval '-1 h', 'arxiv', 'success', '0.5', '200'),
        ('-2 h', 'arxiv', 'failure', '1.5', '500'),
        ('-3 h', 'arxiv', 'ok', '1', '200'), ('-3 h', 'arxiv', 'ok', '1', '200'),
        ('-4 h', 'test', 'success', '1', '200'),
        ('4 h', 'arxiv', 'success', '1', '200'),
        ('-1 h', NULL, 'success', '1', '200'), (NULL, 'arxiv', 'success', '1', '200'),
        ('-1 h', 'arxiv', 'success', '-3', '200'), ('-1 h', 'arxiv', 'success', 'NaN', '200'),
        ('-1 h', 'arxiv', 'success', 'fast', '200'), ('-1 h', 'arxiv', 'success', '1', 'none')) v(h, a, o, d, s)"""

Look = Callable[..., Result]


@pytest.fixture
def look(database: Database, tmp_path: Path) -> Look:
    """Return a function that previews a mapping as a role that may only SELECT; the configuration does not name it."""

    def preview(*options: str, mapping: str = MAPPING, user: str = "reader") -> Result:
        database.execute(
            "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; "
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        )
        (tmp_path / "m.yml").write_text(mapping)
        config = tmp_path / "c.yml"
        config.write_text(f"database: {{dsn: '{make_conninfo(database.dsn, user=user)}'}}\n")
        return run("preview", "m.yml", "--config", str(config), *options)

    return preview


def seen(result: Result) -> dict[str, Any]:
    """Return what a preview with --json says of its only stream."""
    assert result.exit_code == 0, result.output
    (stream,) = json.loads(result.stdout)["streams"]
    return dict(stream)


def test_every_kind_of_rejection_is_shown_with_its_cause(database: Database, look: Look) -> None:
    """With SELECT alone, before any adoption, and nothing is made in the database."""
    database.execute(TABLE)
    found = seen(look("--json"))
    causes = {(one["reason"], *one["columns"]): (one["rows"], one["cause"]) for one in found["rejections"]}

    assert {key: rows for key, (rows, _) in causes.items()} == {
        ("future", "at"): 1, ("null", "at"): 1, ("negative", "duration_seconds"): 1,
        ("not_finite", "duration_seconds"): 1, ("malformed", "duration_seconds"): 1, ("malformed", "status"): 1,
    }  # fmt: skip
    assert "h 00 min ahead" in causes["future", "at"][1] or "h 59 min ahead" in causes["future", "at"][1]
    assert causes["malformed", "status"][1] == 'status: invalid input syntax for type integer: "none"'
    assert causes["negative", "duration_seconds"][1] == "duration_seconds is -3"
    assert (found["rows"], found["rows_meeting_where"], found["rows_rejected"]) == (12, 10, 6)
    assert database.execute("SELECT to_regnamespace('monitoring')::text") == [(None,)]


def test_series_are_those_of_the_exposition(database: Database, look: Look) -> None:
    """Names, labels and values as /metrics has them after the adoption."""
    database.execute(TABLE)
    series = {(one["name"], *sorted(one["labels"].items())): one["value"] for one in seen(look("--json"))["series"]}
    arxiv = (("api", "arxiv"), ("app", "shop"))

    assert series["platform_api_calls_total", *arxiv] == 4
    assert series["platform_api_call_failures_total", *arxiv, ("reason", "server_error")] == 1
    assert series["platform_api_call_duration_seconds_sum", *arxiv] == 4


def test_values_that_are_not_understood(database: Database, look: Look) -> None:
    """Each with how often it is there, and what becomes of it; `ok` and FAILED are understood."""
    database.execute(TABLE)
    database.execute("UPDATE calls SET outcome = 'so-so' WHERE outcome = 'success' AND took = '0.5'")
    mapping = MAPPING + "      reason: \"CASE t.status WHEN '500' THEN 'oops' END\"\n"
    found = seen(look("--json", mapping=mapping))

    assert [tuple(one.values()) for one in found["spellings"]] == [
        ("outcome", "so-so", 1, None), ("outcome", "ok", 2, "success"), ("reason", "oops", 1, None),
    ]  # fmt: skip
    assert "unknown_value" in {one["reason"] for one in found["rejections"]}
    text = " ".join(look(mapping=mapping).output.split())
    assert "outcome 'so-so' is rejected as unknown_value; understood: success, failure" in text
    assert "reason 'oops' counts as other" in text
    assert "outcome 'ok' is read as success" in text


def test_personal_columns_are_not_printed(database: Database, look: Look) -> None:
    """Neither in rows nor in causes."""
    database.execute(TABLE)
    text, as_json = look(), look("--json")

    assert (text.exit_code, "4111" in text.output, "4111" in as_json.output) == (0, False, False)
    assert {row["query"] for row in seen(as_json)["newest"]} == {"(hidden)"}


def test_the_terminal_shows_it_in_100_columns(database: Database, look: Look) -> None:
    """Every section that has something to say, and how the row counts."""
    database.execute(TABLE)
    output = look().output

    assert max(map(len, output.splitlines())) <= 100
    for expected in (
        "public.calls -> api_call", "10 meet `where`", "once, when it is inserted", 'platform_api_calls_total\n',
        '4  {app="shop", api="arxiv"}', "Rejected: 6 rows", "AT TIME ZONE 'Europe/Berlin'",
        "cost                 value of platform_api_cost_total", "timestamp without time zone -> timestamp with",
    ):  # fmt: skip
        assert " ".join(expected.split()) in " ".join(output.split())


@pytest.mark.parametrize(
    ("index", "which"),
    [
        ("CREATE INDEX ON calls (made_at)", "the newest 5 of about"),
        ("SELECT 1", "the newest 5 of about"),
        ("ALTER TABLE calls DROP CONSTRAINT calls_pkey", "pages at random of"),
    ],
    ids=["time", "key", "neither"],
)
def test_a_large_table_is_read_in_part(
    database: Database, look: Look, index: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newest rows by an index on the time, or by a key that counts up; else some pages."""
    monkeypatch.setattr(sampling, "SMALL_BYTES", 0)
    monkeypatch.setattr(sampling, "ROWS", 5)
    database.execute(TABLE)
    database.execute(index)
    database.execute("ANALYZE calls")
    found = seen(look("--json"))

    assert found["looked_at"].startswith(which)
    assert (found["whole_table"], found["rows"]) == (False, 5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("t.api_name", "columns.api: column t.api_name does not exist"),
        ("t.apis", "Perhaps you meant to reference the column"),
        ("t.api +", "columns.api: syntax error"),
    ],
)
def test_a_wrong_mapping_is_explained(database: Database, look: Look, wrong: str, said: str) -> None:
    """As `adopt` says it: stream, key, the server's hint."""
    database.execute(TABLE)
    result = look(mapping=MAPPING.replace("api: t.api", f"api: {wrong}"))

    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_partitioned_table(database: Database, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are those of its partitions, also where they stand in the same places and `where` fails on some."""
    monkeypatch.setattr(sampling, "SMALL_BYTES", 0)
    database.execute(
        "CREATE TABLE calls (made_at timestamp, api text, outcome text, took text, status text, query jsonb) "
        "PARTITION BY LIST (api); CREATE TABLE calls_a PARTITION OF calls FOR VALUES IN ('a'); "
        "CREATE TABLE calls_b PARTITION OF calls FOR VALUES IN ('b'); "
        "INSERT INTO calls SELECT now(), v.api, 'success', CASE WHEN i % 10 = 0 AND v.api = 'b' THEN 'x' ELSE '1' END "
        "FROM generate_series(1, 100) i, (VALUES ('a'), ('b')) v(api); CREATE INDEX ON calls (made_at); ANALYZE calls"
    )
    found = seen(look("--json", mapping=MAPPING.replace("t.api <> 'test'", "t.took::int > 0")))

    assert found["looked_at"] == "the newest 10,000 of about 200 rows, by its column made_at"
    assert (found["rows"], found["rows_counting"], found["rows_rejected"]) == (200, 200, 10)
    assert [(one["reason"], one["columns"]) for one in found["rejections"]] == [("malformed", [])]


def test_a_join_that_multiplies_rows_is_noted(database: Database, look: Look) -> None:
    """It would count rows several times."""
    database.execute(TABLE + "; CREATE TABLE twice AS SELECT 1 FROM generate_series(1, 2)")
    output = look(mapping=MAPPING.replace("    where:", "    join: CROSS JOIN public.twice\n    where:")).output

    assert "`join` multiplies rows: it makes 24 of 12" in output


def test_when_a_row_counts(database: Database, look: Look) -> None:
    """The condition, and how many meet it now."""
    database.execute(TABLE)
    mapping = MAPPING.replace("    where:", "    counted_when: t.outcome = 'ok'\n    where:")
    output = look(mapping=mapping).output

    assert "once, with the change that first makes `counted_when` true: now it is true for 2 of" in " ".join(
        output.split()
    )


@pytest.mark.parametrize("preset", ["stratlogic", "scitex"])
def test_what_a_preset_shows_is_what_is_counted(database: Database, tmp_path: Path, preset: str) -> None:
    """Before the adoption and after it: every series, and the rows rejected."""
    database.load_sql(DEMO / f"{preset}.sql.gz")
    database.load_sql(Path(__file__).parents[1] / "sources" / f"{preset}_more.sql")
    source = DemoSource(database, preset, tmp_path)
    before = json.loads(run("preview", preset, "--config", str(source.path), "--json").stdout)
    assert source.adopt().exit_code == 0
    after = json.loads(run("preview", preset, "--config", str(source.path), "--json").stdout)
    counted = source.poll()

    for shown in (before, after):
        lines = [
            (line["name"], tuple(sorted(line["labels"].items())), line["value"])
            for stream in shown["streams"]
            for line in stream["series"]
        ]
        assert len(lines) > 50
        assert [line for line in lines if counted[line[0]].get(line[1]) != pytest.approx(line[2])] == []
        rejected = sum(stream["rows_rejected"] for stream in shown["streams"])
        assert rejected == sum(counted["platform_exporter_rows_rejected_total"].values())
    assert before["states"] == after["states"]


def test_many_sample_names_are_not_all_printed(database: Database, look: Look) -> None:
    """A terminal shows some, --json all."""
    database.execute("CREATE TABLE s AS SELECT now() AS at, 'n' || i AS name FROM generate_series(1, 50) i")
    mapping = "app: a\nstreams: {s: {table: public.s, kind: sample, columns: "
    mapping += "{at: t.at, name: t.name, kind: \"'gauge'\", value: '1'}}}\n"

    assert "... and 30 more names: see --json" in look(mapping=mapping).output
    assert len(seen(look("--json", mapping=mapping))["series"]) == 50


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("preview", "m.yml", "--stream", "other"), 2, "invalid --stream 'other': expected one of calls"),
        (("preview", "nothing"), 1, "unknown preset `nothing`: expected native"),
        (("preview", "native"), 1, "run `platform-exporter schema apply"),
        (("reconcile", "other"), 2, "invalid source 'other': expected one of native"),
        (("reconcile",), 1, "run `platform-exporter schema apply"),
    ],
)
def test_wrong_usage(
    database: Database, look: Look, arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    """What is wrong, and what was expected."""
    database.execute(TABLE)
    assert look().exit_code == 0
    result = run(*arguments, "--config", str(tmp_path / "c.yml"))

    assert (result.exit_code, said in result.output) == (status, True), result.output
