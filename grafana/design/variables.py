"""What the viewer may choose: apps, routes, severities, words to look for."""

from typing import Any

from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.design.targets import ALERTMANAGER, ISSUES, POSTGRESQL, PROMETHEUS, SOURCES, Source

# Before 12.3 Grafana shows them like any other.
_IN_MENU = models.VariableHide.IN_CONTROLS_MENU
ALL = models.VariableOption(selected=True, text=["All"], value=["$__all"])


class Variable:
    """Builder of a variable, as the SDK expects one."""

    def __init__(self, model: models.VariableModel) -> None:
        self._model = model

    def build(self) -> models.VariableModel:
        """Return the variable."""
        return self._model


def data_sources() -> list[Variable]:
    """Return the choice of data sources, which every dashboard has; Grafana 12.3 and newer show it in a menu.

    The provisioned ones are the default. Where Grafana has none of that uid, it takes the first of the kind by name.
    """
    chosen = [
        Variable(
            models.VariableModel(
                **_common(models.VariableType.DATASOURCE, source.variable, source.title, _IN_MENU),
                query=source.kind,
                current=models.VariableOption(selected=False, text=source.name, value=source.uid),
                refresh=models.VariableRefresh.ON_DASHBOARD_LOAD,
                options=[],
                regex="",
            )
        )
        for source in SOURCES
    ]
    return [*chosen, _typed(ALERTMANAGER, ALERTMANAGER.name), _typed(ISSUES, ISSUES.uid)]


def labels(
    name: str, title: str, selector: str, label: str | None = None, *, listed: bool = False, regex: str = ""
) -> Variable:
    """Return the choice of a label's values among the series of a selector, several or all.

    The selector may name other variables, on which the choice then depends: `..._total{app=~"$app"}`. All is `.*`; of
    apps, and where it is listed, it is the list of all values, as SQL needs it: Grafana would put `.*` into
    `app IN (...)` unchanged. regex takes a part of each value, its first group.
    """
    text = f"label_values({selector}, {label or name})"
    query = {"qryType": 5, "query": text, "refId": "PrometheusVariableQueryEditor-VariableQuery"}
    all_value = None if listed or name == "app" else ".*"
    return _query(name, title, PROMETHEUS, query, all_value=all_value, regex=regex)


def column(name: str, title: str, sql: str, *, several: bool = True, everything: bool = True) -> Variable:
    """Return the choice among the first column of a query of SQL; two columns are __value and __text.

    Several may be chosen, or everything there is: use it as `column IN (${name:sqlstring})`.
    """
    found = _query(name, title, POSTGRESQL, sql, regex="")
    model = found.build()
    model.multi, model.include_all = several, everything
    if not everything:
        model.current = _option("")
    return found


def words(name: str, title: str, values: list[str]) -> Variable:
    """Return the choice among fixed words, several or all."""
    options = [_option(value) for value in values]
    common_fields = _common(models.VariableType.CUSTOM, name, title)
    return Variable(
        models.VariableModel(
            **common_fields, query=",".join(values), options=options, multi=True, include_all=True, current=ALL
        )
    )


def choice(name: str, title: str, values: dict[str, int]) -> Variable:
    """Return the choice of one of fixed words, by default the first; in panels it is that word's number.

    Addresses may have either: `var-NAME=word` too.
    """
    options = [models.VariableOption(selected=False, text=word, value=str(value)) for word, value in values.items()]
    query = ",".join(f"{word} : {value}" for word, value in values.items())
    common_fields = _common(models.VariableType.CUSTOM, name, title)
    return Variable(models.VariableModel(**common_fields, query=query, options=options, current=options[0]))


def text(name: str, title: str) -> Variable:
    """Return a box to type into; in SQL only ever as ${name:sqlstring}."""
    return _textbox(name, title, "", models.VariableHide.DONT_HIDE)


def traces() -> Variable:
    """Return where traces are: the address of one in Tempo or Jaeger, with {trace_id} for its id; empty without."""
    return _textbox("traces", "Address of a trace, with {trace_id}", "", _IN_MENU)


def _typed(source: Source, usual: str) -> Variable:
    return _textbox(source.variable, source.title, usual, _IN_MENU)


def _textbox(name: str, title: str, usual: str, hide: models.VariableHide) -> Variable:
    common_fields = _common(models.VariableType.TEXTBOX, name, title, hide)
    value = _option(usual)
    return Variable(models.VariableModel(**common_fields, query=usual, current=value, options=[value]))


def _option(value: str) -> models.VariableOption:
    return models.VariableOption(selected=False, text=value, value=value)


def _query(name: str, title: str, source: common.DataSourceRef, query: Any, **more: Any) -> Variable:
    return Variable(
        models.VariableModel(
            **_common(models.VariableType.QUERY, name, title),
            datasource=source,
            query=query,
            definition=query if isinstance(query, str) else query["query"],
            refresh=models.VariableRefresh.ON_TIME_RANGE_CHANGED,
            sort=models.VariableSort.ALPHABETICAL_ASC,
            multi=True,
            include_all=True,
            current=ALL,
            options=[],
            **more,
        )
    )


def _common(
    kind: models.VariableType, name: str, title: str, hide: models.VariableHide = models.VariableHide.DONT_HIDE
) -> dict[str, Any]:
    return {"type_val": kind, "name": name, "label": title, "hide": hide}
