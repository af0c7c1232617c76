"""How values are read and written whatever a database holds: texts of its encoding, times beyond Python's years."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrDumperUnknown

from platform_sdk.libpq import codec_of, fitting

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def adapt(connection: psycopg.Connection) -> None:
    """Let no value of this session's database raise where it is read, or stop a statement where it is written.

    A letter that the database's encoding lacks is written as a question mark; a time before year 1 or after 9999 is
    read as the first or last that Python has.
    """
    adapters = connection.adapters
    for format_ in (Format.TEXT, Format.BINARY):
        adapters.register_loader("timestamptz", _bounded(adapters, format_))
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    if encoding == "UTF8":
        return
    codec = codec_of(encoding)
    # The server would turn an escape into a letter of its encoding, and refuses those it lacks.
    set_json_dumps(_json_dumps(codec), adapters)
    if codec is not None:
        adapters.register_dumper(str, type("FittingDumper", (_FittingDumper,), {"codec": codec}))


def fitted(connection: psycopg.Connection) -> Callable[[bytes], bytes]:
    """Return what turns UTF-8 into text that this session's database can hold, for COPY."""
    return partial(fitting, codec=codec_of(connection.info.parameter_status("server_encoding") or "UTF8"))


def readable(connection: psycopg.Connection, sql: str) -> str:
    """Return SQL of a text that the server can send as UTF-8, which it refuses for some texts of other encodings.

    Where our function is not there yet, as before an adoption, the text stays what it is.
    """
    if connection.info.parameter_status("server_encoding") == "UTF8":
        return sql
    there = connection.execute("SELECT to_regprocedure('monitoring.readable(text)') IS NOT NULL").fetchone()
    return f"monitoring.readable(({sql})::text)" if there == (True,) else sql


def read_any_texts(adapters: psycopg.adapt.AdaptersMap) -> None:
    """Let texts that are not UTF-8 be read as bytes, where the server sends what it has without a conversion."""
    for type_ in (_UNKNOWN, "text", "varchar", "bpchar", "name", '"char"'):
        adapters.register_loader(type_, _AnyTextLoader)


_UNKNOWN = 0
"""By this psycopg reads the types that it does not know, such as enums."""


class _AnyTextLoader(Loader):
    """A loader of texts whose encoding is not known."""

    def load(self, data: Buffer) -> str | bytes:
        raw = bytes(data)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw


@cache  # psycopg keeps a class for every function it is given
def _json_dumps(codec: str | None) -> Callable[[Any], bytes]:
    """Return what writes JSON in an encoding that lacks most letters."""
    return partial(_fitting_json, codec)


def _fitting_json(codec: str | None, tree: Any) -> bytes:
    return fitting(json.dumps(tree, ensure_ascii=False).encode(), codec)


class _FittingDumper(StrDumperUnknown):
    """A dumper of texts into an encoding that lacks most letters."""

    codec = "ascii"

    def dump(self, obj: str) -> Buffer | None:
        data = super().dump(obj)
        return None if data is None else fitting(bytes(data), self.codec)


def _bounded(adapters: psycopg.adapt.AdaptersMap, format_: Format) -> type[Loader]:
    """Return psycopg's loader of timestamptz, which raises beyond the years 1 to 9999, with bounds instead."""
    original: Any = adapters.get_loader(adapters.types["timestamptz"].oid, format_)

    class Bounded(Loader):
        """A loader of times."""

        format = format_

        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._load = original(oid, context).load

        def load(self, data: Buffer) -> datetime:
            try:
                time: datetime = self._load(data)
            except psycopg.DataError:
                raw = bytes(data)
                early = raw[0] >= 128 if format_ is Format.BINARY else raw[:1] == b"-" or raw.endswith(b"BC")
                return _FIRST if early else _LAST
            return time

    return Bounded


UNRECORDED = """(i.events - (SELECT coalesce(sum(f.events), 0) FROM monitoring.error_fingerprint f
    WHERE f.app = i.app AND f.issue = i.fingerprint))"""
"""SQL for what an issue `i` counted before its own fingerprint had a row."""
