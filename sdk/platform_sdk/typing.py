"""The closed lists of values, as types: what the functions take by name, and what the events' columns hold."""

from typing import Literal

Severity = Literal["low", "medium", "high", "critical"]
"""How bad an error is."""

Level = Literal["debug", "info", "warning", "error", "fatal", "critical"]
"""How other SDKs and `logging` say it."""

SampleKind = Literal["counter", "gauge", "histogram", "summary"]
"""What a sample is: an amount to add, a value, or an observation."""

Outcome = Literal["success", "failure"]
"""How a call to an external API or a scraping job ended."""

TaskOutcome = Literal["success", "retry", "failure"]
"""How an attempt at a background task ended."""

JobStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
"""The state of a live scraping job."""
