"""The colours of things, the same on every dashboard.

Names of Grafana's palette follow the theme, light or dark; grey has no name there.
"""

from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from exporter.indicators import INDICATORS
from platform_sdk.events import error

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#8e8e8e"
# Of cells, many of which are beside each other: the green that is only a tint leaves the eye what is wrong.
HEALTHY = "rgba(86, 166, 75, 0.25)"
SEVERITIES = dict(zip(error.SEVERITIES[::-1], (RED, ORANGE, YELLOW, BLUE), strict=True))
CODES = {"2..": GREEN, "3..": BLUE, "4..": YELLOW, "5..": RED}
PERCENTILES = {"p50": GREEN, "p95": BLUE, "p99": "purple", "mean": GREY}
ISSUES = {"open": RED, "resolved": GREEN, "ignored": GREY, "regression": ORANGE}
JOBS = {
    "running": BLUE, "pending": YELLOW, "completed": GREEN, "success": GREEN,
    "failed": RED, "failure": RED, "cancelled": GREY, "stale": ORANGE,
}  # fmt: skip
# Why calls and runs fail: what the other side refuses is warm, what breaks on the way is blue.
REASONS = {
    "forbidden": RED, "blocked": "dark-red", "rate_limited": ORANGE, "server_error": "dark-orange",
    "client_error": YELLOW, "timeout": BLUE, "connection": "dark-blue", "cancelled": GREY, "other": "purple",
}  # fmt: skip

# What is dashed belongs to what is not, or is a threshold: the legend need not have it.
_UNLISTED = {"legend": True, "tooltip": False, "viz": False}
DASHED = {
    "custom__lineStyle": {"fill": "dash", "dash": [8, 8]}, "custom__fillOpacity": 0, "custom__hideFrom": _UNLISTED,
}  # fmt: skip

Override = tuple[models.MatcherConfig, list[models.DynamicConfigValue]]


# Yellow and orange letters are too bright for a white page.
_LETTERS = {YELLOW: "#a97c00", ORANGE: "dark-orange"}


def words(colors: Mapping[str, str]) -> list[models.ValueMapping]:
    """Return the mapping that shows each word in its colour; pair it with a cell of coloured text."""
    options = {
        word: models.ValueMappingResult(color=_LETTERS.get(color, color), index=number)
        for number, (word, color) in enumerate(colors.items())
    }
    return [models.ValueMap(options=options)]


def _states(named: dict[str, tuple[str, str]]) -> list[models.ValueMapping]:
    results = {
        value: models.ValueMappingResult(text=text, color=color, index=number)
        for number, (value, (text, color)) in enumerate(named.items())
    }
    # No data is unknown as well: it must not look like health.
    unknown = models.ValueMappingResult(text="Unknown", color=GREY, index=len(named))
    missing = models.DashboardSpecialValueMapOptions(match=models.SpecialValueMatch.NULL_AND_NAN, result=unknown)
    return [models.ValueMap(options=results), models.SpecialValueMap(options=missing)]


# The states of health as rules record them.
HEALTH = _states({"-1": ("Unknown", GREY), "0": ("Healthy", GREEN), "1": ("Warning", YELLOW), "2": ("Critical", RED)})
UP_DOWN = _states({"0": ("Down", RED), "1": ("Up", GREEN)})
# What remains of a budget, and its colour: 0 is red, too little to feel safe yellow.
LEFT = ((None, RED), (0.0001, YELLOW), (0.25, GREEN))
USED_UP: list[models.ValueMapping] = [
    models.ValueMap(options={"0": models.ValueMappingResult(text="Used up", color=RED, index=0)})
]
# Severities as numbers: see grafana.queries.alerts.RANKS.
RANKS: list[models.ValueMapping] = [
    models.ValueMap(
        options={
            str(rank): models.ValueMappingResult(text=severity.capitalize(), color=color, index=4 - rank)
            for rank, (severity, color) in zip((4, 3, 2, 1), SEVERITIES.items(), strict=True)
        }
    )
]
# A state, a space and a text, as grafana.queries.matrix writes them: the text in the state's colour.
CELLS: list[models.ValueMapping] = [
    models.RegexMap(
        options=models.DashboardRegexMapOptions(
            pattern=pattern, result=models.ValueMappingResult(text=text, color=color, index=number)
        )
    )
    for number, (pattern, text, color) in enumerate(
        (
            ("^2 +(.*)$", "$1", RED),
            ("^1 +(.*)$", "$1", YELLOW),
            ("^0 +$", "OK", HEALTHY),
            ("^0 +(.*)$", "$1", HEALTHY),
            ("^-1 +$", "Unknown", GREY),
            ("^-1 +(.*)$", "$1", GREY),
        )
    )
]
CELLS.append(
    models.SpecialValueMap(
        options=models.DashboardSpecialValueMapOptions(
            match=models.SpecialValueMatch.NULL_AND_NAN,
            result=models.ValueMappingResult(text="\u2013", color="transparent", index=len(CELLS)),
        )
    )
)
YES_NO = _states({"0": ("No", RED), "1": ("Yes", GREEN)})


def bands(indicator: str, *, complement: bool = False) -> tuple[tuple[float | None, str], ...]:
    """Return the steps of an indicator's default thresholds, green on their good side.

    With complement they are those of the rest to 1, such as of successes where the indicator is the share of failures.
    """
    found = INDICATORS[indicator]
    limits = {
        round(1 - band.threshold, 9) if complement else band.threshold: name for name, band in found.bands.items()
    }
    rising = [(limit, SEVERITIES[limits[limit]]) for limit in sorted(limits)]
    if found.lower_is_worse == complement:
        return ((None, GREEN), *rising)
    # Where lower is worse a colour ends, not begins, at its threshold.
    shades = [color for _, color in rising]
    return ((None, shades[0]), *zip([limit for limit, _ in rising], [*shades[1:], GREEN], strict=True))


def steps(*bounds: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Return thresholds from (value, colour) in rising order, the first value None: from there on that colour."""
    found = [models.Threshold(value=value, color=color) for value, color in bounds]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def by_thresholds() -> builders.FieldColor:
    """Return the colour that the value's step has."""
    return builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)


def by_mapping() -> builders.FieldColor:
    """Return the colour that the value's mapping has, grey where it has none.

    Bars of a timeline that are coloured by thresholds would be named by the thresholds' values, not by their state.
    """
    return builders.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(GREY)


def in_order() -> builders.FieldColor:
    """Return a colour for each series of a panel in their order.

    Colours by the series' names would be the same in every panel, but two names of ten often share one.
    """
    return builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC)


def values(**properties: Any) -> list[models.DynamicConfigValue]:
    """Return properties of an override; a double underscore stands for the dot of custom.NAME."""
    return [
        models.DynamicConfigValue(id_val=name.replace("__", "."), value=value) for name, value in properties.items()
    ]


def _colored(regexp: str, color: str) -> Override:
    matcher = models.MatcherConfig(id_val="byRegexp", options=regexp)
    return matcher, values(color={"mode": "fixed", "fixedColor": color})


def _line(severity: str, color: str) -> Override:
    matcher, color_values = _colored(f"/^{severity} threshold$/", color)
    stacking = {"group": "thresholds", "mode": "none"}
    return matcher, [
        *color_values,
        *values(custom__lineWidth=1, custom__stacking=stacking, **DASHED),
    ]


def dashed(word: str) -> Override:
    """Return the override that dashes series whose name ends with a word, such as the expected beside the actual."""
    return models.MatcherConfig(id_val="byRegexp", options=f"/ {word}$/"), values(**DASHED)


# A series named `... threshold` is a dashed line in its severity's colour.
THRESHOLD_LINES = [_line(severity, color) for severity, color in SEVERITIES.items()]


def meanings(named: Mapping[str, str]) -> list[Override]:
    """Return overrides that give series colours by the last word of their name, a regular expression."""
    return [_colored(f"/(^| ){word}$/", color) for word, color in named.items()]
