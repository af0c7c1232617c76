"""Let the viewer choose: apps, routes, severities, words to look for."""

from typing import Any

from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from grafana.design.targets import POSTGRESQL, PROMETHEUS

ALL = models.VariableOption(selected=True, text=["All"], value=["$__all"])


class Variable:
    """Be what the SDK takes for a builder of this variable."""

    def __init__(self, model: models.VariableModel) -> None:
        self._model = model

    def build(self) -> models.VariableModel:
        """Return the variable."""
        return self._model


def labels(
    name: str, title: str, selector: str, label: str | None = None, *, listed: bool = False, regex: str = ""
) -> Variable:
    """Return the choice of a label's values among the series of a selector, several or all.

    The selector may name other variables, on which the choice then depends: `..._total{app=~"$app"}`. All is any value,
    but of apps, which SQL is asked for as well, the list of them: Grafana would put `.*` into `app IN (...)` as it is.
    listed makes All the list of values for others, too. regex takes a part of each value, its first group.
    """
    text = f"label_values({selector}, {label or name})"
    query = {"qryType": 5, "query": text, "refId": "PrometheusVariableQueryEditor-VariableQuery"}
    all_value = None if listed or name == "app" else ".*"
    return _query(name, title, PROMETHEUS, query, text, all_value=all_value, regex=regex)


def column(name: str, title: str, sql: str) -> Variable:
    """Return the choice among the first column of a query of SQL, several or all; two columns are __value and __text.

    All is every value there is: use it as `column IN (${name:sqlstring})`.
    """
    return _query(name, title, POSTGRESQL, sql, sql, all_value=None)


def one_of(name: str, title: str, sql: str) -> Variable:
    """Return the choice of exactly one of the first column of a query of SQL."""
    found = column(name, title, sql)
    model = found.build()
    model.multi, model.include_all = False, False
    model.current = models.VariableOption(selected=False, text="", value="")
    return found


def some_of(name: str, title: str, sql: str) -> Variable:
    """Return the choice of several, never all, of the first column of a query of SQL: what an action is done to."""
    found = one_of(name, title, sql)
    found.build().multi = True
    return found


def words(name: str, title: str, values: list[str]) -> Variable:
    """Return the choice among fixed words, several or all."""
    return Variable(
        models.VariableModel(
            **_common(models.VariableType.CUSTOM, name, title),
            query=",".join(values),
            options=[models.VariableOption(selected=False, text=value, value=value) for value in values],
            multi=True,
            include_all=True,
            current=ALL,
        )
    )


def text(name: str, title: str, default: str = "") -> Variable:
    """Return a box to type into; in SQL only ever as ${name:sqlstring}."""
    chosen = models.VariableOption(selected=False, text=default, value=default)
    return Variable(
        models.VariableModel(
            **_common(models.VariableType.TEXTBOX, name, title), query=default, current=chosen, options=[chosen]
        )
    )


def _query(
    name: str,
    title: str,
    source: common.DataSourceRef,
    query: Any,
    definition: str,
    *,
    all_value: str | None,
    regex: str = "",
) -> Variable:
    return Variable(
        models.VariableModel(
            **_common(models.VariableType.QUERY, name, title),
            datasource=source,
            query=query,
            definition=definition,
            refresh=models.VariableRefresh.ON_TIME_RANGE_CHANGED,
            sort=models.VariableSort.ALPHABETICAL_ASC,
            multi=True,
            include_all=True,
            all_value=all_value,
            current=ALL,
            options=[],
            regex=regex,
        )
    )


def _common(kind: models.VariableType, name: str, title: str) -> dict[str, Any]:
    return {"type_val": kind, "name": name, "label": title, "hide": models.VariableHide.DONT_HIDE}
