"""Writers of rows that change: they insert, update, upsert, copy, delete and truncate, and keep a ledger of their own.

The ledger holds what they committed, so that what an exporter counted can be held against it, label by label.
"""

import contextlib
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tools.stack.errors import StackError
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Postgres
from tools.testing.exporter import command, exporting, value
from tools.testing.writers import WriterThreads

TABLE = """CREATE TABLE jobs (id bigint PRIMARY KEY, name text NOT NULL, status text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(), note text)"""
SERIES = {
    "added": ("platform_scraping_runs_total", "scraper"),
    "ended": ("platform_api_calls_total", "api"),
    "changed": ("platform_user_activity_total", "activity"),
    "removed": ("platform_background_tasks_total", "task"),
    "rejected": ("platform_exporter_rows_rejected_total", "reason"),
}
MAPPING = """app: drill
streams:
  added: {table: public.jobs, kind: scraping_run,
    columns: {at: t.at, scraper: t.name, outcome: "'success'", duration_seconds: '1'}}
  ended: {table: public.jobs, kind: api_call, counted_when: "t.status IN ('DONE', 'FAILED')",
    columns: {at: t.at, api: "t.name || ' ' || t.status", outcome: "'success'", duration_seconds: '1'}}
  changed: {table: public.jobs, kind: user_activity, counted_when: t.status <> '', counted: every_change,
    columns: {at: t.at, activity: "t.name || ' ' || t.status"}}
  removed: {table: public.jobs, kind: background_task, counted: deleted,
    columns: {at: t.at, task: t.name, outcome: "'success'", duration_seconds: '1'}}
"""
"""One table counted in four ways: when inserted, once when ended, at every change of its state, when deleted."""

BAD = "bad"
SPOIL = rf"""CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF new.name = '{BAD}' THEN new.name := new.name || '!' || convert_from('\xff', 'SQL_ASCII'); END IF;
    RETURN new; END $$;
CREATE TRIGGER spoil BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION spoil()"""

STATES = {"NEW": ("RUNNING",), "RUNNING": ("DONE", "FAILED"), "DONE": ("NEW",), "FAILED": ("RUNNING",)}
ENDED = ("DONE", "FAILED")
MOST_ROWS = 60
"""How many rows a writer keeps at a time."""

Connection = psycopg.Connection[tuple[Any, ...]]
Ledger = Counter[tuple[str, str]]
"""(stream, label) -> rows."""


@dataclass
class Rows:
    """One writer's rows, id -> (status, whether it ever ended), and what became of them."""

    name: str
    rows: dict[int, tuple[str, bool]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Counter)

    def copy(self) -> "Rows":
        return Rows(self.name, dict(self.rows), Counter(self.ledger))

    def insert(self, number: int, status: str) -> None:
        self.ledger["added", self.name] += 1
        self._reach(number, status, ended=False)

    def update(self, number: int, status: str) -> None:
        before, ended = self.rows[number]
        if status != before:
            self._reach(number, status, ended)

    def delete(self, number: int) -> None:
        self.ledger["removed", self.name] += 1
        del self.rows[number]

    def _reach(self, number: int, status: str, ended: bool) -> None:
        self.ledger["changed", f"{self.name} {status}"] += 1
        if status in ENDED and not ended:
            self.ledger["ended", f"{self.name} {status}"] += 1
        self.rows[number] = (status, ended or status in ENDED)


class Writers(WriterThreads):
    """Writers of these names."""

    def __init__(self, dsn: str, names: list[str], seed: int = 0) -> None:
        super().__init__(dsn, len(names), seed)
        self._ids = iter(range(1, 1 << 60))
        self._rows = [Rows(name) for name in names]
        self.transactions: Counter[str] = Counter()

    @property
    def ledger(self) -> Ledger:
        """Return what all committed; to be read after the `with`."""
        ledger: Ledger = sum((rows.ledger for rows in self._rows), Counter())
        bad = [key for key in ledger if key[1].split(" ")[0] == BAD]
        if bad:
            ledger["rejected", "malformed"] = sum(ledger.pop(key) for key in bad)
        return ledger

    def _transaction(self, connection: Connection, index: int, chance: random.Random) -> None:
        """Run one transaction: a fifth rolled back, a third with savepoints, a few slow, one in 200 truncates."""
        if chance.random() < 0.005:
            self._truncate(connection, chance.random() < 0.2)
            return
        dice, rows = chance.random(), self._rows[index].copy()
        with connection.transaction(force_rollback=dice < 0.2):
            for _ in range(chance.randint(1, 4)):
                self._statement(connection, rows, chance)
            if dice < 0.5:
                kept = chance.random() < 0.5
                inner = rows.copy()
                with connection.transaction(force_rollback=not kept):
                    self._statement(connection, inner, chance)
                rows = inner if kept else rows
                self._statement(connection, rows, chance)
            if dice > 0.97:
                self._stopping.wait(chance.random() * 0.3)
        if dice >= 0.2:
            self._rows[index] = rows
        self.transactions["rolled back" if dice < 0.2 else "committed"] += 1

    def _truncate(self, connection: Connection, rolled_back: bool) -> None:
        """Empty the table, which deletes no row one by one: others find theirs gone."""
        with connection.transaction(force_rollback=rolled_back):
            connection.execute("TRUNCATE jobs")
        self.transactions["truncated"] += not rolled_back

    def _statement(self, connection: Connection, rows: Rows, chance: random.Random) -> None:
        kinds = (self._insert, self._copy, self._update, self._update, self._update, self._upsert, self._delete)
        few = (self._insert, self._copy, self._upsert)
        kind = self._delete if len(rows.rows) > MOST_ROWS else chance.choice(kinds if rows.rows else few)
        kind(connection, rows, chance)

    def _new(self, chance: random.Random) -> Iterator[tuple[int, str]]:
        for _ in range(chance.randint(1, 5)):
            yield next(self._ids), chance.choice(("NEW", "NEW", "RUNNING", "DONE"))

    def _insert(self, connection: Connection, rows: Rows, chance: random.Random) -> None:
        new = dict(self._new(chance))
        connection.execute(
            "INSERT INTO jobs (id, name, status) SELECT i, %s, s FROM unnest(%s::bigint[], %s::text[]) AS u (i, s)",
            [rows.name, list(new), list(new.values())],
        )
        for number, status in new.items():
            rows.insert(number, status)

    def _copy(self, connection: Connection, rows: Rows, chance: random.Random) -> None:
        new = dict(self._new(chance))
        with connection.cursor().copy("COPY jobs (id, name, status) FROM STDIN") as copy:
            for number, status in new.items():
                copy.write_row((number, rows.name, status))
        for number, status in new.items():
            rows.insert(number, status)

    def _some(self, rows: Rows, chance: random.Random) -> list[int]:
        return chance.sample(sorted(rows.rows), min(len(rows.rows), chance.randint(1, 8)))

    def _update(self, connection: Connection, rows: Rows, chance: random.Random) -> None:
        """Move rows on by one state, a quarter of the statements change another column only."""
        some = self._some(rows, chance)
        if chance.random() < 0.25:
            to = {number: rows.rows[number][0] for number in some}
        else:
            to = {number: chance.choice(STATES[rows.rows[number][0]]) for number in some}
        found = connection.execute(
            "UPDATE jobs SET status = s, note = 'n' FROM unnest(%s::bigint[], %s::text[]) AS u (i, s) WHERE id = i "
            "RETURNING id",
            [list(to), list(to.values())],
        ).fetchall()
        self._settle(rows, to, {number for (number,) in found})

    def _settle(self, rows: Rows, to: dict[int, str], found: set[int]) -> None:
        """Note what an update reached; the rows it did not find were truncated by another writer."""
        for number, status in to.items():
            if number in found:
                rows.update(number, status)
            else:
                del rows.rows[number]

    def _upsert(self, connection: Connection, rows: Rows, chance: random.Random) -> None:
        new = dict(self._new(chance))
        old = {number: chance.choice(STATES[rows.rows[number][0]]) for number in self._some(rows, chance)}
        both = new | old
        answer = connection.execute(
            "INSERT INTO jobs (id, name, status) SELECT i, %s, s FROM unnest(%s::bigint[], %s::text[]) AS u (i, s) "
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status RETURNING id, xmax = 0",
            [rows.name, list(both), list(both.values())],
        ).fetchall()
        for number, inserted in answer:
            if inserted:
                rows.insert(number, both[number])
            else:
                rows.update(number, both[number])

    def _delete(self, connection: Connection, rows: Rows, chance: random.Random) -> None:
        some = self._some(rows, chance)
        found = connection.execute("DELETE FROM jobs WHERE id = ANY(%s) RETURNING id", [some]).fetchall()
        for number in set(some) - {number for (number,) in found}:
            del rows.rows[number]
        for (number,) in found:
            rows.delete(number)


def counted(metrics: dict[str, float], ledger: Ledger) -> Ledger:
    """Return what an exporter shows for each entry of a ledger."""
    shown: Ledger = Counter()
    for stream, label in ledger:
        metric, name = SERIES[stream]
        shown[stream, label] = round(value(metrics, metric, **{name: label}) or 0)
    return shown


def lost_and_doubled(ledger: Ledger, shown: Ledger) -> dict[str, tuple[int, int]]:
    """Return by stream how many rows are in no counter, and how many more than once."""

    def more(of: Ledger, than: Ledger, stream: str) -> int:
        return sum(max(0, of[key] - than[key]) for key in ledger if key[0] == stream)

    streams = dict.fromkeys(stream for stream, _ in ledger)
    return {stream: (more(ledger, shown, stream), more(shown, ledger, stream)) for stream in streams}


@dataclass(frozen=True)
class Setting:
    """A kind of database: how it is made, what its sessions set, and a word of its language in every label.

    `spoil` says that one more writer's names are not text: each of its rows and changes must be rejected, and no other.
    """

    create: str = ""
    session: str = ""
    word: str = ""
    spoil: bool = False

    @property
    def writers(self) -> list[str]:
        return [f"w{index} {self.word}" for index in range(8)] + [BAD] * self.spoil


SETTINGS = {
    "utf8": Setting(word="日本"),
    "latin1": Setting("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'", word="Grün"),
    "sql_ascii": Setting("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", word="Grün", spoil=True),
    "turkish": Setting("LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'", word="Iİıi"),  # noqa: RUF001 - Turkish has four of them
    "german": Setting(session="DateStyle = 'German, DMY'", word="für"),
}
"""By name. Turkish letters change case in another way, which wants PostgreSQL 15 or newer with ICU."""


def create(server: Postgres, name: str, setting: Setting) -> str:
    """Make a database of this kind with an empty table, and return its address."""
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {setting.create}".encode())
        if setting.session:
            connection.execute(f"ALTER DATABASE {name} SET {setting.session}".encode())
    with server.connect(name) as connection:
        connection.execute(TABLE)
        if setting.spoil:
            connection.execute(SPOIL)
    return server.dsn_of(name)


def configuration(folder: Path, dsn: str) -> Path:
    """Write mapping and configuration of a source that is polled ten times a second; return the latter's path."""
    (folder / "jobs.yml").write_text(MAPPING)
    config = folder / "platform-exporter.yml"
    config.write_text(
        f"database: {{dsn: '{dsn}', poll_interval_seconds: 0.1}}\nlimits: {{series_per_metric: 2000}}\n"
        "sources: [{preset: jobs.yml}]\n"
    )
    return config


class Replicas:
    """So many exporters of one configuration until the `with` ends; each may be killed, and another takes its place."""

    def __init__(self, config: Path, count: int = 2) -> None:
        self._config, self._count = config, count
        self._running: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def _start(self) -> None:
        port = free_port()
        argv = command("serve", "--config", self._config, "--listen", f"127.0.0.1:{port}", "--log-level", "error")
        self._running.append(subprocess.Popen(argv))

    def kill_oldest(self) -> None:
        """End the one that has run longest, whatever it does, and start another."""
        process = self._running.pop(0)
        process.kill()
        process.wait()
        self.kills += 1
        self._start()


@dataclass(frozen=True)
class Outcome:
    """What writers committed, and by stream how many rows of it were lost and doubled."""

    ledger: Ledger
    found: dict[str, tuple[int, int]]
    transactions: Counter[str]
    kills: int


def count_under_kills(server: Postgres, database: str, setting: str, folder: Path, seconds: float) -> Outcome:
    """Let eight writers write and exporters die, one a second, in a new database; then hold counters against ledger."""
    dsn = create(server, database, SETTINGS[setting])
    config = configuration(folder, dsn)
    subprocess.run(command("adopt", "jobs.yml", "--config", config), check=True, stdout=subprocess.DEVNULL)
    chance, deadline = random.Random(9), time.monotonic() + seconds
    with Writers(dsn, SETTINGS[setting].writers) as writers, Replicas(config) as replicas:
        # On a busy machine the few seconds may be over before a writer has emptied the table.
        while time.monotonic() < deadline or replicas.kills < 4 or not writers.transactions["truncated"]:
            time.sleep(0.5 + chance.random())  # how long they live, not a state waited for
            replicas.kill_oldest()
    return Outcome(writers.ledger, _settle(folder, writers.ledger), writers.transactions, replicas.kills)


def _settle(folder: Path, ledger: Ledger) -> dict[str, tuple[int, int]]:
    """Let one more exporter count what is left, and return by stream what is lost and doubled."""
    config = folder / "platform-exporter.yml"
    with exporting(folder, config.read_text()) as exporter:
        with contextlib.suppress(StackError):  # what is missing after this is lost
            poll_until(lambda: counted(exporter.metrics(), ledger) == ledger)
        return lost_and_doubled(ledger, counted(exporter.metrics(), ledger))
