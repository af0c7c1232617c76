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
                ),
                Line(
                    8,
                    [
                        (
                            panels.lines(
                                "Bans",
                                "Share of runs that were forbidden or blocked over 5 minutes.",
                                "percentunit",
                                [
                                    targets.series(scraping.FORBIDDEN, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_forbidden_ratio")),
                                ],
                            ),
                            8,
                        ),
                        (
                            panels.lines(
                                "Rate limits",
                                "Share of runs that exceeded a rate limit over 5 minutes.",
                                "percentunit",
                                [
                                    targets.series(scraping.RATE_LIMITED, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_rate_limited_ratio")),
                                ],
                            ),
                            8,
                        ),
                        (
                            panels.lines(
                                "Volume",
                                "Items of the last hour as a share of the median of the same hour in earlier weeks.",
                                "percentunit",
                                [
                                    targets.series(scraping.VOLUME, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_volume_ratio")),
                                ],
                            ),
                            8,
                        ),
                    ],
                ),
                Line(
                    8,
                    [
                        (
                            panels.lines(
                                "Silent",
                                "How long the running job that is silent for longest gave no sign of life.",
                                "s",
                                [
                                    targets.series(scraping.HEARTBEAT_AGE, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_heartbeat_age_seconds")),
                                ],
                            ),
                            6,
                        ),
                        (
                            panels.lines(
                                "Standing still",
                                "How long the running job that stands still for longest processed no item.",
                                "s",
                                [
                                    targets.series(scraping.PROGRESS_AGE, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_progress_age_seconds")),
                                ],
                            ),
                            6,
                        ),
                        (
                            panels.lines(
                                "Waiting",
                                "How long the oldest waiting job waits.",
                                "s",
                                [
                                    targets.series(scraping.PENDING_AGE, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_pending_age_seconds")),
                                ],
                            ),
                            6,
                        ),
                        (
                            panels.lines(
                                "Last success",
                                "How long ago a run of each scraper last succeeded.",
                                "s",
                                [
                                    targets.series(scraping.LAST_SUCCESS_AGE, "{{app}} {{scraper}}"),
                                    targets.threshold_lines(shared.threshold("scraping_last_success_age_seconds")),
                                ],
                            ),
                            6,
                        ),
                    ],
                ),
            ],
        ),
    ],
    VARIABLES,
)
