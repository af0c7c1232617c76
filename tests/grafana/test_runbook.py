"""The runbook's dashboard: each alert's link leads to its entry, and nothing in an entry is cut or replaced."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from grafana.boards.runbook import LONGEST, entries
from tests.grafana.boards import DASHBOARDS
from tests.prometheus.names import ROOT
from tools.testing.dashboard_sql import panels

EXTERNAL = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["global"]["external_labels"]
RUNBOOK, INDEX = (panel["options"]["content"] for panel in panels(DASHBOARDS["runbook"]))
VARIABLES = {variable["name"]: variable for variable in DASHBOARDS["runbook"]["templating"]["list"]}
# Each entry's place as a style says it, and its text.
PLACED = re.findall(
    r'order: min\(1, \((\d+) - \$alert\) \* \((\d+) - \$alert\)\)">\n\n(.*?)\n\n</div>', RUNBOOK, re.DOTALL
)
ALERTS = {
    rule["alert"]: rule["annotations"]["runbook_url"]
    for path in (ROOT / "prometheus/rules").glob("*.yml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def first_for(address: str) -> str:
    """Return the name of the only entry that an address puts before all others."""
    (alert,) = parse_qs(urlsplit(address).query)["var-alert"]
    (value,) = [option["value"] for option in VARIABLES["alert"]["options"] if option["text"] == alert]
    orders = {text: min(1, (int(one) - int(value)) * (int(other) - int(value))) for one, other, text in PLACED}
    (first,) = [text for text, order in orders.items() if order == 0]
    return first.partition("\n")[0].removeprefix("## ")


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_link_leads_to_its_entry(alert: str) -> None:
    """From the annotation of the rule; a Git hosting, which knows no variables, scrolls to the heading."""
    address = ALERTS[alert].replace("{{ $externalLabels.runbook_url }}", EXTERNAL["runbook_url"])

    assert first_for(address) == alert
    assert urlsplit(address).path == "/d/platform-runbook/runbook"
    assert urlsplit(address).fragment == alert.lower()


def test_the_index_leads_to_every_entry() -> None:
    """By its name, relative to where Grafana's pages are, whatever its path is."""
    found = re.findall(r"\[([\w ]+)\]\((d/platform-runbook/runbook\?var-alert=[^)]+)\)", INDEX)

    assert [first_for(address) for _, address in found] == [name for name, _ in found] == list(entries())
    assert set(ALERTS) < set(entries())


def test_no_entry_is_chosen_with_another() -> None:
    """Numbers are unique, and the variable's options are those that its query makes."""
    options = {option["text"]: option["value"] for option in VARIABLES["alert"]["options"]}
    query = dict(part.split(" : ") for part in VARIABLES["alert"]["query"].split(","))

    assert len(set(options.values())) == len(PLACED) == len(entries())
    assert options == query


def test_commands_are_not_cut() -> None:
    """Grafana does not wrap code within a line: long commands are blocks, whole and in their order."""

    def spans(text: str) -> list[str]:
        found = [code for line in text.split("\n") for code in re.findall(r"`([^`]+)`", line)]
        return [code for code in found if len(code) > LONGEST]

    shown = [line.strip() for block in re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL) for line in block.split("\n")]
    commands = spans("\n".join(entries().values()))

    assert spans(RUNBOOK) == []
    assert len(commands) > 100
    assert [command for command in commands if command not in shown] == []


def test_no_variable_is_replaced_in_a_text() -> None:
    """A dollar in a command is the shell's: $alert, and the data sources' variables, occur in none."""
    used = set(re.findall(r"\$\{?(\w+)", "\n".join(entries().values())))

    assert used.isdisjoint(VARIABLES)
