"""Import dashboards into a running Grafana."""

from collections.abc import Mapping
from typing import Any

import requests

from exporter.errors import GrafanaError

DEADLINE_SECONDS = 60


def import_dashboards(url: str, token: str, dashboards: Mapping[str, Mapping[str, Any]]) -> None:
    """Import dashboards by their name, over those of the same uid; each chooses data sources that are there.

    token: of a service account with the role Editor; empty where Grafana lets everyone edit.
    Raises GrafanaError with Grafana's own words, for the first that it does not take.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for name, dashboard in dashboards.items():
        body = {"dashboard": dashboard, "overwrite": True}
        try:
            answer = requests.post(f"{url}/api/dashboards/import", json=body, headers=headers, timeout=DEADLINE_SECONDS)
        except requests.RequestException as error:
            raise GrafanaError(f"{url}: Grafana does not answer: {type(error).__name__}") from error
        if not answer.ok:
            said = " ".join(answer.text.split())[:200]
            hint = ": set GRAFANA_TOKEN to a service account's with the role Editor" * (
                answer.status_code in (401, 403)
            )
            raise GrafanaError(
                f"{url}: the dashboard {name} was not imported: status {answer.status_code} {said}{hint}"
            )
