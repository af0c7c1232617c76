"""The units that dashboards use, of those that Grafana 11.6 and newer know.

From packages/grafana-data/src/valueFormats/categories.ts of grafana/grafana (its ids). Add one when it is needed.
"""

UNITS = {
    # Misc
    "none", "string", "short", "percent", "percentunit", "locale",
    # Data (IEC)
    "bytes",
    # Data rate
    "Bps", "binBps",
    # Date & time: values in milliseconds
    "dateTimeAsIso", "dateTimeAsIsoNoDateIfToday", "dateTimeFromNow",
    # Time
    "ms", "s", "m", "h", "d", "dtdurations", "dthms",
    # Throughput
    "cps", "ops", "reqps", "opm", "rpm",
    # Written behind the number, as for any suffix
    "suffix:/min",
    # Currency
    "currencyUSD", "currencyEUR",
    # Boolean
    "bool", "bool_yes_no", "bool_on_off",
}  # fmt: skip
