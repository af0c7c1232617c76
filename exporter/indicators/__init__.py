"""Every indicator and alert, by name, and the files of rules that are made of them.

To add one: declare it in the module of its subject, write its cases in prometheus/tests and its entry in
prometheus/runbook.md, and run `make generate`.
"""

from exporter.indicators import (
    api,
    api_budget,
    api_quota,
    certificates,
    consumers,
    errors,
    gen_ai,
    http,
    jobs,
    postgresql,
    queues,
    saturation,
    scraping,
    scraping_durations,
    scraping_expected,
    scraping_field_drift,
    scraping_fields,
    scraping_jobs,
    scraping_politeness,
    scraping_proxies,
    scraping_volume,
    sdk,
    silence,
    slo,
    sources,
    tables,
    tasks,
    users,
    usual,
)
from exporter.indicators.declaration import Alert, Indicator, RuleFile

FILES: tuple[RuleFile, ...] = tuple(
    module.FILE
    for module in (
        *(
            http,
            consumers,
            api,
            api_quota,
            api_budget,
            gen_ai,
            scraping,
            scraping_durations,
            scraping_expected,
            scraping_fields,
            scraping_field_drift,
            scraping_proxies,
            scraping_politeness,
            scraping_jobs,
            scraping_volume,
            tables,
            tasks,
            jobs,
            errors,
            users,
            sdk,
            slo,
        ),
        *(saturation, postgresql, queues, certificates, sources, silence, usual),
    )
)

_RULES = [rule for file in FILES for group in file.groups for rule in group.rules]
INDICATORS: dict[str, Indicator] = {rule.name: rule for rule in _RULES if isinstance(rule, Indicator)}
ALERTS: dict[str, Alert] = {rule.name: rule for rule in _RULES if isinstance(rule, Alert)}
