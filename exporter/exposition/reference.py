"""Every series there is, for rules, dashboards and documents to be checked against.

`python -m exporter.exposition.reference` writes the documents made from the declarations, docs/metrics.md and the
section `probes` of platform-exporter.example.yml, in the current folder.
"""

from collections.abc import Iterator
from pathlib import Path

from exporter import probes
from exporter.config.thresholds import BANDS, Objectives, Thresholds, descriptions
from exporter.exposition.families import (
    ALERT_FAMILIES,
    EVENT_FAMILIES,
    EXPORTER_FAMILIES,
    FAMILIES,
    PROBE_FAMILIES,
    STATE_FAMILIES,
    Family,
    series_names,
)
from exporter.probes.base import Reason
from platform_sdk.events.sample import BOUNDS, PREFIX

PROCESS_FAMILIES = (
    Family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    Family("process_max_fds", "gauge", "Maximum number of open file descriptors."),
    Family("process_open_fds", "gauge", "Number of open file descriptors."),
    Family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    Family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
    Family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
)
"""What prometheus_client shows of the exporter's own process."""

METRICS: dict[str, Family] = {
    name: family for family in (*FAMILIES.values(), *PROCESS_FAMILIES) for name in series_names(family)
}
"""Every series that queries may use, by name: of a histogram `_bucket`, `_sum` and `_count`."""

SECTIONS = (
    ("Events", "Counted exactly once from the event tables, and from an application's own adopted tables.",
     EVENT_FAMILIES),
    ("State", "The current state, read from tables at every poll.", STATE_FAMILIES),
    ("Alerts", "The history of notifications: derived with its rows, in the same transaction.", ALERT_FAMILIES),
    ("Components", "Probed at every scrape.", PROBE_FAMILIES),
    ("The exporter", "How well it counts, and its configuration.", EXPORTER_FAMILIES),
    ("Its process", "As of any Prometheus client.", PROCESS_FAMILIES),
)  # fmt: skip


def documents(folder: Path) -> dict[Path, str]:
    """Return what the generated documents should hold, by their paths in `folder`."""
    example = folder / "platform-exporter.example.yml"
    before, begin, rest = example.read_text(encoding="utf-8").partition("# probes:")
    _, end, after = rest.partition("probe_timeout_seconds:")
    if not begin or not end:
        raise ValueError(f"invalid example {example}: expected `# probes:`, then `probe_timeout_seconds:`")
    return {folder / "docs/metrics.md": "\n".join(_lines()) + "\n", example: before + probes.example() + end + after}


def _lines() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "<!-- Made by `python -m exporter.exposition.reference`; a test fails where it differs. -->"
    yield ""
    yield "A label that is empty is left out. Counters and histograms carry created timestamps in OpenMetrics."
    for title, text, families in SECTIONS:
        yield from ("", f"## {title}", "", text, "", "| metric | type | labels | description |", "|---|---|---|---|")
        yield from (_row(family) for family in families)
        if families is PROBE_FAMILIES:
            yield from _probes()
    yield from _thresholds()
    yield from _objectives()
    yield from _samples()


def _probes() -> Iterator[str]:
    common = ", ".join(f"`{reason}`" for reason in Reason)
    yield from ("", f"A component that is down has one of the reasons {common}, or one of its kind's own.", "")
    yield from ("| component | what is asked | reasons of its own | degraded by |", "|---|---|---|---|")
    for kind in probes.PROBES:
        own, weak = (", ".join(f"`{name}`" for name in names) for names in (kind.reasons, kind.weaknesses))
        yield f"| `{kind.component}` | {kind.summary()} | {own} | {weak} |"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.type} | {labels} | {family.help}{_details(family)} |"


def _details(family: Family) -> str:
    details = ""
    if family.bounds:
        details += f" Buckets: {', '.join(f'{bound:g}' for bound in family.bounds)}."
    if family.zero_fill:
        values = ", ".join(f"`{value}`" for value in family.zero_fill.values)
        details += f" `{family.zero_fill.label}` is one of {values}; each starts at 0."
    return details


def _thresholds() -> Iterator[str]:
    yield from ("", "## Thresholds", "")
    yield (
        "What the label `indicator` of `platform_threshold` names, and where each severity begins unless the "
        "configuration's `thresholds` say otherwise. `minimum_events` (default 20) has no severity: with fewer events "
        "in 5 minutes an indicator is unknown. An override for an app or an API counts for the severities it gives."
    )
    yield ""
    yield from ("| indicator | medium | high | critical | overrides | what is compared |", "|---|---|---|---|---|---|")
    says = descriptions(Thresholds)
    for name, threshold in Thresholds().indicators().items():
        text = says[name] + " Lower is worse." * (name in Thresholds.LOWER_IS_WORSE)
        values = (getattr(threshold, severity) for severity in BANDS)
        bands = " | ".join("" if value is None else f"{value:.10g}" for value in values)
        scopes = ["apps"] * (name not in Thresholds.ABOUT_NO_APP) + ["apis"] * (name in Thresholds.ABOUT_APIS)
        yield f"| `{name}` | {bands} | {', '.join(f'`{scope}`' for scope in scopes)} | {text} |"


def _objectives() -> Iterator[str]:
    yield from ("", "## Objectives", "")
    yield (
        "What the label `slo` of `platform_objective` names: the share of good events promised over 30 days, unless "
        "the configuration's `objectives` say otherwise (a number, `{target: .., apps: {NAME: ..}}`, or null for none)."
    )
    yield from ("", "| slo | target | what is good |", "|---|---|---|")
    says = descriptions(Objectives)
    yield from (f"| `{name}` | {target:g} | {says[name]} |" for name, _, target in Objectives().targets())


def _samples() -> Iterator[str]:
    yield from ("", "## Samples", "")
    yield (
        f"A sample named NAME becomes `{PREFIX}NAME_UNIT`, in base units (`ms` becomes `_seconds`, `KB` `_bytes`, `%` "
        "`_ratio`), with `_total` where it is a counter. Its labels are `app` and those of its own that the source's "
        "`sample_labels` allow. Where two samples of different types claim one name, the later one gets a word "
        "for its type appended: `_increments`, `_value`, `_distribution` or `_observations`."
    )
    yield from ("", "| unit | histogram buckets |", "|---|---|")
    for unit, bounds in BOUNDS.items():
        yield f"| {unit or 'any other'} | {', '.join(f'{bound:g}' for bound in bounds)} |"


if __name__ == "__main__":
    for path, text in documents(Path()).items():
        path.write_text(text, encoding="utf-8")
