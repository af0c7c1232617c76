"""Play several drills: a bench of its own for each kind, all benches side by side."""

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.drills import report
from tools.drills.bench import Bench
from tools.drills.catalogue import AT_ONCE
from tools.drills.configuration import threshold_lines
from tools.drills.drill import Drill, play
from tools.drills.notices import Notice
from tools.drills.verdict import Outcome

_printing = threading.Lock()


def say(who: str, *lines: str) -> None:
    """Print lines with the time and who says it, not mixed with those of others."""
    with _printing:
        for line in lines:
            print(f"{time.strftime('%H:%M:%S')}  {who:22} {line}", flush=True)


def run(drills: Sequence[Drill]) -> list[Outcome]:
    """Play them and return how each went, in their order. Raises DrillError where a stack does not start."""
    by_bench: dict[str, list[Drill]] = {}
    for drill in drills:
        by_bench.setdefault(drill.bench, []).append(drill)
    with tempfile.TemporaryDirectory(prefix="platform-drills-", ignore_cleanup_errors=True) as name:
        # PostgreSQL refuses root, so that its own user must get through.
        Path(name).chmod(0o711)
        benches = {bench: _bench(Path(name) / bench, its) for bench, its in by_bench.items()}
        with ThreadPoolExecutor(len(by_bench)) as pool:
            futures = [pool.submit(_play_all, benches[bench], its) for bench, its in by_bench.items()]
            try:
                found = [outcome for future in futures for outcome in future.result()]
            except KeyboardInterrupt:
                # Threads that wait for what no longer matters; their servers must not stay.
                for bench in benches.values():
                    bench.close()
                os._exit(130)
    order = [drill.name for drill in drills]
    return sorted(found, key=lambda outcome: order.index(outcome.name) if outcome.name in order else len(order))


def _bench(folder: Path, drills: list[Drill]) -> Bench:
    thresholds: dict[str, Any] = {}
    for drill in drills:
        thresholds |= drill.thresholds
    return Bench(
        folder,
        [application for drill in drills for application in drill.applications],
        thresholds=thresholds,
        two_alertmanagers=any(drill.bench == "servers" for drill in drills),
    )


def _play_all(bench: Bench, drills: list[Drill]) -> list[Outcome]:
    name = bench.folder.name
    try:
        say(name, f"starting a stack for {', '.join(drill.name for drill in drills)}")
        bench.start()
        store = bench.state.programs["minio"]
        say(
            name,
            "differs from what ships: told to the drill's receivers; medium at any hour, not in working hours only",
        )
        say(name, *(f"differs from what ships: {line}" for line in threshold_lines(bench.thresholds)))
        say(name, f"S3 store: {'moto, a stand-in' if 'minio' in bench.state.missing else 'MinIO'} {store}")
        with ThreadPoolExecutor(len(drills) if AT_ONCE[name] else 1) as pool:
            outcomes = list(pool.map(lambda drill: _play(drill, bench), drills))
        return [*outcomes, *_strangers(name, drills, bench)]
    finally:
        bench.close()


def _play(drill: Drill, bench: Bench) -> Outcome:
    outcome = play(drill, bench, lambda line: say(drill.name, line))
    say(drill.name, *report.lines(outcome))
    return outcome


def _strangers(name: str, drills: Sequence[Drill], bench: Bench) -> list[Outcome]:
    """Return a failed outcome for what came on a bench and belongs to none of its drills."""
    strange = [one for one in bench.notices if not any(drill.subject.has_notice(one) for drill in drills)]
    if not strange:
        return []
    outcome = Outcome(f"({name})", problems=[f"came from nowhere: {_quoted(one)}" for one in strange])
    say(outcome.name, *outcome.problems)
    return [outcome]


def _quoted(notice: Notice) -> str:
    if notice.alerts:
        return f"{notice.channel}: {[one.labels for one in notice.alerts]}"
    return f"{notice.channel}: {notice.text[:200]!r}"
