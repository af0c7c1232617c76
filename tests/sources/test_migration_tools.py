"""Migration tools compare a table with an application's models: after `adopt` they see what they saw before."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import BigInteger, Column, Identity, Integer, MetaData, Table, Text, create_engine, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.pool import NullPool

from tests.servers import Database
from tests.sources.applications import TABLE, Application


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[Application]:
    """Return an application with a table, not adopted."""
    application = Application(database, tmp_path)
    application.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
    return application


def models() -> MetaData:
    metadata = MetaData()
    Table(
        "jobs", metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("name", Text, nullable=False),
        Column("status", Text, nullable=False, server_default="NEW"),
        Column("millis", Integer, nullable=False, server_default="1000"),
        Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=text("'2026-01-01 00:00Z'")),
    )  # fmt: skip
    return metadata


def test_alembic_finds_no_difference(app: Application) -> None:
    """`alembic revision --autogenerate` would write an empty migration; a changed model is still found."""
    app.adopt()
    engine = create_engine(app.database.dsn.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        same = compare_metadata(context, models())
        changed = models()
        changed.tables["jobs"].append_column(Column("note", Text))
        different = compare_metadata(context, changed)

    assert same == []
    assert [change[0] for change in different] == ["add_column"]


DJANGO = """
import django, sys
from django.conf import settings
from django.core.management import call_command
name, host, port, user = sys.argv[1:]
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": name, "HOST": host,
    "PORT": port, "USER": user}}, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"])
django.setup()
call_command("inspectdb", "--include-partitions", "--include-views")
call_command("migrate", verbosity=0)
call_command("makemigrations", "--check")
"""


def test_django_sees_the_same_models(app: Application) -> None:
    """`inspectdb` writes the same models before and after, `migrate` and `makemigrations --check` work."""
    place = conninfo_to_dict(app.database.dsn)
    argv = [sys.executable, "-c", DJANGO, *(str(place[key]) for key in ("dbname", "host", "port", "user"))]

    def seen() -> str:
        run = subprocess.run(argv, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    seen()  # makes Django's own tables
    before = seen()
    app.adopt()

    assert "class Jobs(models.Model)" in before
    assert seen() == before
