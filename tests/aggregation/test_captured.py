"""Tables whose rows change: each row that counts is counted once, with the change that makes it count."""

import pytest

from tests.aggregation.shop import COUNT, FINISHED, NEW, TABLE, Open

DONE = """UPDATE "ScrapeJobs" SET "Status" = 'DONE' """
RUNNING = """UPDATE "ScrapeJobs" SET "Status" = 'RUNNING' """

ONCE: dict[str, tuple[list[str], float]] = {
    "not yet": ([NEW], 0),
    "finished": ([NEW, DONE], 4),
    "finished when inserted": (["""INSERT INTO "ScrapeJobs" (id, "Status") VALUES (1, 'FAILED'), (2, 'NEW')"""], 1),
    "changed otherwise": ([NEW, DONE, "UPDATE \"ScrapeJobs\" SET note = 'x', millis = 5"], 4),
    "finished twice": ([NEW, DONE, """UPDATE "ScrapeJobs" SET "Status" = 'FAILED'"""], 4),
    "begun again": ([NEW, DONE, RUNNING, DONE, RUNNING, DONE], 4),
    "NULL is not a finish": ([NEW, 'UPDATE "ScrapeJobs" SET "Status" = NULL', DONE], 4),
    "deleted and inserted again": ([NEW, DONE, 'DELETE FROM "ScrapeJobs"', NEW, DONE], 8),
    "begun again, deleted, inserted again": ([NEW, DONE, RUNNING, 'DELETE FROM "ScrapeJobs"', NEW, DONE], 8),
    "emptied while begun again": ([NEW, DONE, RUNNING, 'TRUNCATE "ScrapeJobs"', NEW, DONE], 8),
    "replaced": ([NEW, DONE, """WITH gone AS (DELETE FROM "ScrapeJobs" RETURNING *) SELECT 1""", NEW], 4),
    "excluded": ([NEW, 'UPDATE "ScrapeJobs" SET test = true WHERE id = 1', DONE], 3),
    "upserts": (
        [NEW, """INSERT INTO "ScrapeJobs" (id, "Status") SELECT i, 'DONE' FROM generate_series(3, 6) i
            ON CONFLICT (id) DO UPDATE SET "Status" = 'DONE', millis = excluded.id * 1000"""], 4),
    "a merge": (
        [NEW, """MERGE INTO "ScrapeJobs" j USING generate_series(2, 5) i ON j.id = i
            WHEN MATCHED AND i = 2 THEN DELETE WHEN MATCHED THEN UPDATE SET "Status" = 'FAILED'
            WHEN NOT MATCHED THEN INSERT (id, "Status") VALUES (i, 'DONE')"""], 3),
    "a bad row": ([NEW, 'UPDATE "ScrapeJobs" SET divisor = 0 WHERE id = 1', DONE], 3),
}  # fmt: skip


@pytest.mark.parametrize("polled", [False, True], ids=["at the end", "after each"])
@pytest.mark.parametrize("name", list(ONCE))
def test_a_row_counts_once(shop: Open, name: str, polled: bool) -> None:
    """With the change that first meets its condition, whenever polls come in between."""
    statements, expected = ONCE[name]
    found = shop()
    for statement in statements:
        found.execute(statement)
        if polled:
            found.store.poll()

    assert found.count() == expected
    assert found.count() == expected


KEYS = """CREATE DOMAIN token AS bytea; CREATE DOMAIN tokens AS token[];
    CREATE TYPE pair AS (at timestamptz, token token);
    CREATE TABLE "ScrapeJobs" (id int, "Name" text DEFAULT 'n', kind text DEFAULT 'k', "Status" text DEFAULT 'RUNNING',
        millis int DEFAULT 1, divisor int DEFAULT 1, test boolean, at timestamptz DEFAULT '2026-03-04 05:06Z',
        token token DEFAULT '\\x00ff', tokens tokens DEFAULT '{"\\\\x00ff"}',
        times timestamptz[] DEFAULT '{"2026-03-04Z"}',
        during tstzrange DEFAULT '["2026-03-04Z",)', pair pair DEFAULT ROW('2026-03-04Z', '\\x00ff')::pair,
        price money DEFAULT 1234.5::numeric::money,
        PRIMARY KEY (id, at, token, tokens, times, during, pair, price)) PARTITION BY RANGE (at);
    CREATE TABLE jobs_1 PARTITION OF "ScrapeJobs" DEFAULT"""
SESSIONS = (
    "SET timezone = 'Asia/Tokyo'; SET bytea_output = 'hex'",
    "SET timezone = 'UTC'; SET bytea_output = 'escape'",
    "SET timezone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET datestyle = 'German'",
)


@pytest.mark.parametrize("polled", [False, True], ids=["at the end", "after each"])
def test_a_key_is_the_same_in_every_session(shop: Open, polled: bool) -> None:
    """Times, bytes and money, alone or inside other types, have one text whatever a session's settings."""
    found = shop(FINISHED, KEYS)
    for session, statement in zip(SESSIONS * 2, (NEW, DONE, RUNNING, DONE, RUNNING, DONE), strict=True):
        found.execute(f"{session}; {statement}")
        if polled:
            found.store.poll()

    assert found.count() == 4


AWAY = 'ALTER TABLE "ScrapeJobs" RENAME id TO id2'
BACK = 'ALTER TABLE "ScrapeJobs" RENAME id2 TO id'
LOST_KEYS: dict[str, tuple[list[str], float]] = {
    "finished before": ([DONE, AWAY, RUNNING, DONE, RUNNING, DONE, BACK], 4),
    "finished before, begun again": ([DONE, AWAY, RUNNING, BACK, DONE], 4),
    "finished meanwhile": ([AWAY, DONE, BACK, RUNNING, DONE], 4),
    "finished and begun again meanwhile": ([AWAY, DONE, RUNNING, BACK, DONE], 4),
    "finished when inserted": (
        [DONE, AWAY, """INSERT INTO "ScrapeJobs" (id2, "Status") VALUES (5, 'DONE')""", RUNNING, BACK, DONE], 5),
}  # fmt: skip


@pytest.mark.parametrize("again", [BACK, "SELECT 1"], ids=["renamed back", "adopted again"])
@pytest.mark.parametrize("name", list(LOST_KEYS))
def test_the_key_is_renamed(shop: Open, name: str, again: str) -> None:
    """What changes meanwhile is kept, the problem names the column, and no row counts twice, then or later."""
    statements, expected = LOST_KEYS[name]
    found = shop(FINISHED, TABLE, NEW)
    at, end = statements.index(AWAY) + 1, statements.index(BACK)
    for statement in statements[:at]:
        found.store.poll()
        found.execute(statement)
    (problem,) = found.problems()
    found.execute(*statements[at:end])
    (still,) = found.problems()
    found.execute(again)
    found.adopt()
    found.store.poll()
    for statement in (*statements[end + 1 :], RUNNING, DONE):
        found.execute(statement)
        found.store.poll()

    assert "no longer has t.id, by which its rows are known again: changes are kept" in problem
    assert still == problem
    assert found.problems() == ()
    assert found.count() == expected


def test_existing_rows_count_once(shop: Open) -> None:
    """What was finished before the adoption counts at first, and what was begun then when it is finished."""
    found = shop(FINISHED, TABLE, NEW, DONE + "WHERE id < 3")
    before = found.count()
    found.execute(RUNNING + "WHERE id = 1")
    found.execute(DONE)

    assert (before, found.count()) == (2, 4)


def test_every_change_counts(shop: Open) -> None:
    """Transitions: each change of the status is an event, others are none."""
    found = shop("counted_when: t.\"Status\" <> 'RUNNING'\ncounted: every_change")
    for status in ("A", "B", "B", "RUNNING", "A"):
        found.execute(NEW + " ON CONFLICT DO NOTHING", f'UPDATE "ScrapeJobs" SET "Status" = \'{status}\'')
    found.execute('UPDATE "ScrapeJobs" SET millis = 7', 'DELETE FROM "ScrapeJobs"')

    assert found.count() == 3 * 4


def test_deleted_rows_count(shop: Open) -> None:
    """Rows count when they are deleted, as they were then; those that are there do not."""
    found = shop("counted_when: t.\"Status\" = 'DONE'\ncounted: deleted", TABLE, NEW, DONE)
    held = found.count()
    found.execute('UPDATE "ScrapeJobs" SET "Name" = \'gone\'', 'DELETE FROM "ScrapeJobs" WHERE id < 3', RUNNING)
    found.execute('DELETE FROM "ScrapeJobs"')

    assert (held, found.count()) == (0, 2)
    assert found.store.series(COUNT) == {("shop", "gonek"): 2}


def test_a_long_key(shop: Open) -> None:
    """A key that no index could hold is remembered as others are."""
    found = shop(f"{FINISHED}\nkey: [note]")
    found.execute(
        """INSERT INTO "ScrapeJobs" (id, note) SELECT i, (SELECT string_agg(md5(random()::text), '')
            FROM generate_series(1, 300 + i)) FROM generate_series(1, 2) i""",
        DONE,
    )
    counted = [found.count()]
    for statement in (RUNNING, DONE, RUNNING, DONE):
        found.execute(statement)
        counted.append(found.count())

    assert counted == [2] * 5
