"""Draw scraping: runs, live jobs, queues."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import scraping, shared

VARIABLES = (
    variables.labels("app", "App", "platform_scraping_runs_total"),
    variables.labels("scraper", "Scraper", 'platform_scraping_runs_total{app=~"$app"}'),
)

BOARD = Board(
    "scraping",
    "Platform scraping",
    "Do the scrapers succeed, are they alive, and do they bring what they used to?",
    [
        Section(
            "Runs",
            [
                Line(
                    9,
                    [
                        (
                            panels.lines(
                                "Failure ratio",
                                "Share of failed runs over 5 minutes. No line below the minimum of events.",
                                "percentunit",
                                [
                                    targets.series(scraping.FAILURES, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_failure_ratio")),
                                ],
                            ).max(1),
                            12,
                        ),
                        (
                            panels.lines(
                                "Items",
                                "Items processed per minute.",
                                "cpm",
                                [targets.series(scraping.ITEMS, "{{app}} {{scraper}}")],
                            ),
                            12,
                        ),
                    ],
                )
            ],
        ),
    ],
    VARIABLES,
)
