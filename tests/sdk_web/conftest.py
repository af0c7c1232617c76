"""Fixtures for the web middlewares: an intake that is never emptied, and an event store."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import django
import pytest
from django.test import override_settings

from exporter.database import schema
from platform_sdk import client, options
from platform_sdk.delivery.intake import Intake
from platform_sdk.web import record as request_record
from tests.sdk_web.recording import Recorded
from tests.servers import Database
from tools.stack.servers import Postgres

# Before any test module imports a model of Django's.
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.sdk_web.django_settings"
django.setup()


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorded]:
    """Return a function that switches the SDK on, with these options and without a writer."""

    def begin(**given: object) -> Recorded:
        intake = Intake(options.read({"dsn": "none", "app": "shop", **given}, {}), lambda: None)
        intake.running = True
        monkeypatch.setattr(client, "current", intake)
        monkeypatch.setattr(request_record, "_newest", None)
        return Recorded(intake)

    return begin


@pytest.fixture
def recorded(record: Callable[..., Recorded]) -> Recorded:
    """Return what the SDK has taken in, with default options."""
    return record()


@pytest.fixture
def views() -> Iterator[Callable[..., None]]:
    """Return a function that puts these routes in the project's place.

    They are a configuration of their own: what Django caches of the project's, such as whether it has languages in
    its paths, is never of these.
    """
    with ExitStack() as stack:
        yield lambda *routes: stack.enter_context(override_settings(ROOT_URLCONF=routes))


@pytest.fixture(scope="session")
def schema_template(postgres: Postgres) -> str:
    """Return the name of a database with the schema, to be copied."""
    postgres.create_database("sdk_web_template")
    with postgres.connect("sdk_web_template") as connection:
        schema.apply(connection)
    return "sdk_web_template"


@pytest.fixture
def store(postgres: Postgres, schema_template: str, database: Database) -> Database:
    """Return a fresh event store."""
    with postgres.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE {database.name}")
        connection.execute(f"CREATE DATABASE {database.name} TEMPLATE {schema_template}")
    return database
