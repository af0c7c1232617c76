"""Mappings: the names of tables, and the keys that say when a row counts."""

from pathlib import Path

import pytest

from exporter.config.settings import Preset, Source
from exporter.errors import MappingError
from exporter.sources import mapping
from exporter.sources.mapping import Relation

MAPPING = """app: shop
streams:
  jobs:
    table: public."ScrapeJobs"
    kind: scraping_run
    columns: {at: t.at, scraper: t.s, outcome: "'success'", duration_seconds: t.d}
    where: t.test IS NOT TRUE
"""


@pytest.mark.parametrize(
    ("text", "schema", "name", "read"),
    [
        ("public.jobs", "public", "jobs", "public.jobs"),
        ("Public.Jobs", "public", "jobs", "public.jobs"),
        ('public."Jobs"', "public", "Jobs", 'public."Jobs"'),
        ('"user"."127_0_0_1_6800"', "user", "127_0_0_1_6800", '"user"."127_0_0_1_6800"'),
        ("user.order", "user", "order", '"user"."order"'),
        ("app.AufträgeÄ", "app", "aufträgeÄ", 'app."aufträgeÄ"'),
        ('"a.b"."c""d"', "a.b", 'c"d', '"a.b"."c""d"'),
    ],
)
def test_a_name_is_read_as_sql_reads_it(text: str, schema: str, name: str, read: str) -> None:
    """Without quotes capitals are lower case; what comes out is quoted where it must be."""
    relation = Relation.parse(text)

    assert (relation.schema, relation.name, relation) == (schema, name, read)
    assert Relation.parse(relation) == relation


@pytest.mark.parametrize("text", ["jobs", "a.b.c", 'public."', "public.1x", "public.a b", "public." + "ü" * 32, ""])
def test_what_is_no_name_is_refused(text: str) -> None:
    """The message shows an example of a table's name."""
    with pytest.raises(ValueError, match="Expected"):
        Relation.parse(text)


def load(folder: Path, *lines: str) -> mapping.Stream:
    path = folder / "m.yml"
    path.write_text(MAPPING + "".join(f"    {line}\n" for line in lines))
    return mapping.plan(Source(preset=Preset(path))).streams[0]


def test_rows_that_count_now(tmp_path: Path) -> None:
    """What is exported of a table are the rows that meet both conditions."""
    stream = load(tmp_path, "counted_when: t.status = 'DONE'", "key: [job]")

    assert stream.select.endswith("WHERE (t.test IS NOT TRUE) AND (t.status = 'DONE')")
    assert (stream.counted, stream.key, stream.relation) == ("once", ("job",), 'public."ScrapeJobs"')


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("counted: every_change", "`streams.jobs.counted` is every_change: expected `counted_when`"),
        ("counted: twice", "`streams.jobs.counted`: invalid enum value 'twice': expected one of once, every_change"),
        ("key: 5", "`streams.jobs.key`: expected `array`, got `int`"),
        ("details: {error_type: 5}", "`streams.jobs.details.error_type`: expected `str`, got `int`"),
        ("reads: [public.a, jobs]", r"`streams.jobs.reads\[1\]`: expected `SCHEMA.TABLE`"),
        ("counted_wen: t.ok", "`streams.jobs`: object contains unknown field `counted_wen`"),
    ],
)
def test_when_a_row_counts_is_checked(tmp_path: Path, line: str, message: str) -> None:
    """A mapping that cannot mean anything is refused."""
    with pytest.raises(MappingError, match=message):
        load(tmp_path, line)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('public."ScrapeJobs"', '"postgresql://u:S3CRETpw12@h/x"'),
        ("kind: scraping_run", "kind: S3CRETpw12"),
        ("columns: {at", "columns: {S3CRETpw12: x, at"),
        ("  jobs:", "  jobs S3CRETpw12:\n    {}\n  more:"),
        ("where: t.test IS NOT TRUE", "S3CRETpw12: x"),
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, before: str, after: str) -> None:
    """A DSN or a password that was pasted in a wrong place."""
    assert before in MAPPING
    (tmp_path / "m.yml").write_text(MAPPING.replace(before, after, 1))

    with pytest.raises(MappingError) as caught:
        mapping.load(str(tmp_path / "m.yml"))
    assert "S3CRETpw12" not in str(caught.value)
