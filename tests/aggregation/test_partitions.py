"""Partitioned tables: rows count whichever table a statement names, also those that come with a partition."""

import pytest

from tests.aggregation.shop import FINISHED, Open

TABLE = """CREATE TABLE "ScrapeJobs" (id int, "Name" varchar(20) DEFAULT 'n', kind char(3) DEFAULT 'k',
    "Status" text DEFAULT 'RUNNING', millis int DEFAULT 1, divisor int DEFAULT 1, test boolean{key})
    PARTITION BY RANGE (id);
CREATE TABLE a PARTITION OF "ScrapeJobs" FOR VALUES FROM (0) TO (100);
CREATE TABLE b PARTITION OF "ScrapeJobs" FOR VALUES FROM (100) TO (200)"""
KEYED, KEYLESS = TABLE.format(key=", PRIMARY KEY (id)"), TABLE.format(key="")
ON_INSERT = "issues: true"
EACH = 'INSERT INTO "ScrapeJobs" (id) VALUES (1), (101); INSERT INTO a (id) VALUES (2); INSERT INTO b (id) VALUES (102)'
LIKE = 'CREATE TABLE c (LIKE "ScrapeJobs" INCLUDING DEFAULTS)'
ATTACH = 'ALTER TABLE "ScrapeJobs" ATTACH PARTITION c FOR VALUES FROM (200) TO (300)'


def test_rows_count_whichever_table_is_named(shop: Open) -> None:
    """The parent or a partition, and where a row moves from one to another it stays one row."""
    found = shop(FINISHED, KEYED, EACH)
    found.execute("""UPDATE "ScrapeJobs" SET "Status" = 'DONE' WHERE id IN (1, 101)""")
    found.execute("UPDATE a SET \"Status\" = 'DONE' WHERE id = 2")
    moved = """UPDATE "ScrapeJobs" SET id = id + 100, "Status" = 'FAILED' WHERE id = 5"""
    found.execute('INSERT INTO "ScrapeJobs" (id) VALUES (5)', moved)

    assert found.count() == 4
    assert found.problems() == ()


@pytest.mark.parametrize("polled", [False, True])
def test_a_filled_partition_is_attached(shop: Open, polled: bool) -> None:
    """Made by LIKE, filled, attached: its rows count once, with those that come later by either way."""
    found = shop(ON_INSERT, KEYED, EACH)
    found.execute(LIKE, "INSERT INTO c (id) VALUES (201), (202)", ATTACH)
    found.execute('INSERT INTO "ScrapeJobs" (id) VALUES (203)')
    if polled:
        found.store.poll()
    found.execute("INSERT INTO c (id) VALUES (204)", 'INSERT INTO "ScrapeJobs" (id) VALUES (205)')
    found.store.poll()
    found.execute("INSERT INTO c (id) VALUES (206)")

    assert found.count() == 4 + 6
    assert found.problems() == ()


def test_partitions_whose_triggers_are_made_again(shop: Open) -> None:
    """Disabled, or fewer than a changed mapping needs: their rows were counted, and are not counted again."""
    found = shop(ON_INSERT, KEYED, EACH)
    found.execute("ALTER TABLE a DISABLE TRIGGER ALL")
    found.store.poll()
    found.execute("ALTER TABLE b DISABLE TRIGGER ALL")
    found.adopt()
    found.execute("INSERT INTO b (id) VALUES (103)")

    assert found.count() == 5
    assert found.problems() == ()


def test_a_partition_is_detached_and_attached_again(shop: Open) -> None:
    """Its rows are known, also those that are written meanwhile."""
    found = shop(ON_INSERT, KEYED, EACH)
    found.execute('ALTER TABLE "ScrapeJobs" DETACH PARTITION b', "INSERT INTO b (id) VALUES (103)")
    found.store.poll()
    found.execute('ALTER TABLE "ScrapeJobs" ATTACH PARTITION b FOR VALUES FROM (100) TO (200)')

    assert found.count() == 5


def test_a_partition_in_use_is_waited_for_by_nobody(shop: Open) -> None:
    """While someone writes it, the poll goes on without its triggers; its rows count in a later one."""
    found = shop(ON_INSERT, KEYED)
    found.execute(LIKE, ATTACH)
    with found.store.connect() as writer, writer.transaction():
        writer.execute("INSERT INTO c (id) VALUES (201)")
        found.execute('INSERT INTO "ScrapeJobs" (id) VALUES (7)')
        meanwhile = found.count()
    found.store.poll()

    assert (meanwhile, found.count()) == (1, 2)


def test_a_filled_partition_without_a_key(shop: Open) -> None:
    """Its rows look like those that were captured: none is added; a problem names it until adopt has run."""
    found = shop(ON_INSERT, KEYLESS, EACH)
    found.execute(LIKE, "INSERT INTO c (id) VALUES (201)", ATTACH)
    found.store.poll()
    (problem,) = found.problems()
    found.adopt()

    assert found.problems() == ()
    assert "c came with rows" in problem
    assert "add `key` to the mapping" in problem
    assert found.count() == 4


def test_an_empty_partition_without_a_key_is_no_problem(shop: Open) -> None:
    """It gets its triggers, and rows of it count by either way."""
    found = shop(ON_INSERT, KEYLESS)
    found.execute('CREATE TABLE c PARTITION OF "ScrapeJobs" FOR VALUES FROM (200) TO (300)')
    found.store.poll()
    found.execute("INSERT INTO c (id) VALUES (201)", 'INSERT INTO "ScrapeJobs" (id) VALUES (202)')

    assert found.count() == 2
    assert found.problems() == ()


def test_children_by_inheritance(shop: Open) -> None:
    """Rows of a table that inherits from the adopted one are rows of that one."""
    plain = KEYED.split("PARTITION BY")[0] + '; CREATE TABLE child (more int, PRIMARY KEY (id)) INHERITS ("ScrapeJobs")'
    found = shop(FINISHED, plain, "INSERT INTO child (id, \"Status\") VALUES (1, 'DONE')")
    found.execute("INSERT INTO child (id) VALUES (2)", 'INSERT INTO "ScrapeJobs" (id) VALUES (3)')
    found.execute('UPDATE "ScrapeJobs" SET "Status" = \'DONE\'')

    assert found.count() == 3
