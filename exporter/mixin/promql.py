"""The bundle's PromQL in another installation: its jobs, how often it is scraped, its replicas.

What the bundle's queries say of their own Prometheus is replaced word by word, so that there is one text of each query.
"""

import re

from exporter.mixin.installation import Installation

JOB, SERVERS = "platform-exporter", "prometheus|alertmanager"
"""The scrape jobs of the bundle: the exporter's, and those of the servers that watch it."""

SCRAPES = 2.5
"""How many scrapes a window has at least: two, also where one comes late."""

_OTHERS = re.compile(
    r"(?<![\w:.$])(?P<name>(?:up|(?:scrape|process|prometheus|alertmanager|minio|node)_\w+))(?![\w:(])"
    r"(?P<matchers>\{[^}]*\})?"
)
_SHORT_WINDOW = re.compile(
    r"(?P<series>(?<![\w:])(?:up|platform_open_alerts|prometheus_notifications_errors_total)(?:\{[^}]*\})?)"
    r"\[(?P<number>\d+)(?P<unit>[sm])\]"
)
_REPLICAS = re.compile(r"without \(instance, pod, node")
_METACHARACTERS = re.compile(r"[.^$*+?()\[\]{}|]")
_SECONDS = {"s": 1, "m": 60}


def adapted(promql: str, installation: Installation) -> str:
    """Return a query of the bundle for an installation."""
    found = _SHORT_WINDOW.sub(lambda match: _long_enough(match, installation.interval_seconds), promql)
    found = _OTHERS.sub(lambda match: _of_jobs(match, installation), found)
    replicas = "".join(f", {label}" for label in installation.replica_labels)
    return _REPLICAS.sub(lambda match: match[0] + replicas, found)


def _long_enough(window: re.Match[str], interval_seconds: int) -> str:
    seconds = int(window["number"]) * _SECONDS[window["unit"]]
    return f"{window['series']}[{max(seconds, round(SCRAPES * interval_seconds))}s]"


def _of_jobs(series: re.Match[str], installation: Installation) -> str:
    """Return a selector of series that others have too, of those jobs that are the installation's business."""
    matchers = (series["matchers"] or "{}")[1:-1]
    if f'job="{JOB}"' in matchers:
        matchers = matchers.replace(f'job="{JOB}"', f'job="{installation.job}"')
    elif f'job!="{JOB}"' in matchers:
        matchers = matchers.replace(f'job!="{JOB}"', _any_of(installation.watched))
    elif f'job=~"{SERVERS}"' in matchers:
        matchers = matchers.replace(f'job=~"{SERVERS}"', _any_of(installation.watched))
    else:
        own = _any_of((installation.job, *installation.watched))
        matchers = f"{matchers}, {own}" if matchers else own
    return f"{series['name']}{{{matchers}}}"


def _any_of(jobs: tuple[str, ...]) -> str:
    """Return the matcher of these jobs; of none, one that nothing has."""
    return 'job=~"{}"'.format("|".join(_METACHARACTERS.sub(r"\\\\\g<0>", job) for job in jobs) or "no job is watched")
