"""A batch as a file, in which every wrong bit is noticed.

A file is a line `platform-sdk-spool FORMAT CRC32 LENGTH`, then LENGTH bytes: a line of JSON (the batch's id and parts)
and the parts' rows as they go to COPY. Readable by a person: `tail -n +3 FILE`. While applications are upgraded one by
one, a process may find what a newer version left: of another FORMAT, or with columns that are new.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_sdk.delivery.batch import Batch, Part
from platform_sdk.events import KINDS

_MAGIC = b"platform-sdk-spool"
_FORMAT = 1
_NAME = re.compile(r"\d+-(?P<events>\d+)-(?P<id>[0-9a-f]{32})\.batch")


class CorruptError(Exception):
    """Raised when a file is not what was written."""


class NewerError(CorruptError):
    """Raised when a file is whole, but of a newer version of the SDK."""


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """One file, its size in bytes, and the number of events in it, which is in its name in case it is unreadable."""

    path: Path
    events: int
    size: int


def listed(folder: Path) -> list[SpoolFile]:
    """Return the files in a folder, oldest first."""
    found = []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(SpoolFile(path, int(match["events"]), path.stat().st_size))
    return found


def write(batch: Batch, folder: Path, number: int) -> SpoolFile:
    """Write a batch; the file has its final name only when it is whole. Raises OSError.

    There is no fsync: the file survives the process, not a power cut; a truncated file is noticed on reading.
    """
    parts = [
        {"table": part.table, "columns": part.columns, "rows": part.rows, "events": part.events,
         "bytes": len(part.data)}
        for part in batch.parts
    ]  # fmt: skip
    head = json.dumps({"id": batch.id, "parts": parts}).encode() + b"\n"
    body = b"".join((head, *(part.data for part in batch.parts)))
    content = b"%s %d %08x %d\n%s" % (_MAGIC, _FORMAT, zlib.crc32(body), len(body), body)
    path = folder / f"{number:08d}-{batch.events}-{batch.id}.batch"
    write_whole(path, content)
    return SpoolFile(path, batch.events, len(content))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all. Raises OSError."""
    partial = path.with_suffix(".part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read(file: SpoolFile) -> Batch:
    """Return the batch in a file. Raises NewerError, and CorruptError, also where it cannot be read."""
    try:
        first, body = file.path.read_bytes().split(b"\n", 1)
        magic, number, crc, length = first.split(b" ")
        if magic == _MAGIC and int(number) > _FORMAT:
            raise NewerError(f"{file.path}: format {int(number)}, expected {_FORMAT}")
        if magic != _MAGIC or int(length) != len(body) or int(crc, 16) != zlib.crc32(body):
            raise CorruptError(f"{file.path}: truncated or changed")
        head, data = body.split(b"\n", 1)
        described = json.loads(head)
        return Batch(str(described["id"]), tuple(_parts(file.path, described["parts"], data)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{file.path}: {error}") from error


def _parts(path: Path, described: list[dict[str, Any]], data: bytes) -> Iterator[Part]:
    start = 0
    for part in described:
        table, columns = str(part["table"]), tuple(part["columns"])
        known = {column.name for column in KINDS[table].all_columns} if table in KINDS else set()
        if not known.issuperset(columns) or (table not in KINDS and table != "scraping_job"):
            new = ", ".join(sorted({*columns} - known)) if table in KINDS else "all of it"
            raise NewerError(f"{path}: unknown in monitoring.{table}: {new}")
        yield Part(table, columns, data[start : start + part["bytes"]], int(part["rows"]), int(part["events"]))
        start += part["bytes"]
