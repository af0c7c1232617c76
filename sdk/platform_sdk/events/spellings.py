"""How applications spell the values that our columns have: those words that can mean only one of them.

Case, spaces around and the marks between words do not matter, so that no word is here in two cases. What may mean
several (`1`, `finished`, `skipped`) is not here: it is rejected or `other`, and `doctor` shows an example.
"""

SUCCESS = ("succeeded", "successful", "ok", "okay", "completed", "complete", "done", "passed", "true")
FAILURE = (
    "failed", "fail", "error", "errored", "false", "unsuccessful", "timeout", "timed_out", "connection",
    "rate_limited", "forbidden", "client_error", "server_error", "blocked", "parse", "cancelled", "canceled", "aborted",
    "crashed", "killed", "revoked", "rejected", "refused",
)  # fmt: skip
RETRY = ("retrying", "retried", "up_for_retry")

OUTCOMES = {"success": SUCCESS, "failure": FAILURE, "retry": RETRY}

REASONS = {
    "timeout": ("timed_out", "time_out"),
    "rate_limited": ("rate_limit", "too_many_requests", "throttled"),
    "cancelled": ("canceled", "aborted"),
}

SEVERITIES = {
    "low": ("trace", "debug", "verbose", "info", "information", "informational", "notice", "minor"),
    "medium": ("warning", "warn", "moderate"),
    "high": ("error", "err", "major", "severe"),
    "critical": ("crit", "fatal", "emergency", "emerg", "panic", "blocker"),
}

JOBS = {
    "pending": ("queued", "scheduled", "waiting", "enqueued"),
    "running": ("started", "in_progress", "processing", "active"),
    "completed": ("complete", "success", "succeeded", "successful", "done", "ok"),
    "failed": ("failure", "fail", "error", "errored", "crashed"),
    "cancelled": ("canceled", "aborted", "revoked", "killed"),
}

ISSUES = {
    "open": ("new", "unresolved", "reopened", "active", "false"),
    "resolved": ("fixed", "closed", "done", "true"),
    "ignored": ("muted", "silenced", "wont_fix", "wontfix"),
}
