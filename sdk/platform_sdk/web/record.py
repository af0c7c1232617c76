"""Emit what is known of a request once it has ended."""

from platform_sdk import emit
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.web.actor import Actor
from platform_sdk.web.plan import Plan, Rule

KEY = "platform_sdk"
"""In an ASGI scope or a WSGI environ: a layer further out records this request. A layer further in, which may know
route and actor better, tells it: the value is a list in a scope, to be filled with the two, and in an environ an object
with a method `told`."""

CLIENT_GONE = 499
"""The client went before the response was complete; no such status is ever sent. As nginx has it."""


def record(
    plan: Plan,
    left_out: bool,
    route: str,
    method: str,
    status: int,
    duration_seconds: float,
    response_bytes: int | None,
    actor: Actor,
    ip: str | None,
    user_agent: str | None,
    first_byte_seconds: float | None = None,
) -> None:
    """Emit the request, unless it is left out and no 5xx, and the activity it is by the rules, left out or not."""
    if not left_out or status >= 500:
        if method == "HEAD":
            response_bytes = 0  # a body that the application made is not sent
        emit.request_finished(
            route, method, status, duration_seconds, response_bytes, *actor, ip, user_agent, first_byte_seconds
        )
    if plan.rules and (rule := plan.rule(method, route)) is not None:
        _activity(rule, status, duration_seconds, actor, ip, user_agent)


def _activity(
    rule: Rule,
    status: int,
    duration_seconds: float,
    actor: Actor,
    ip: str | None,
    user_agent: str | None,
) -> None:
    """Emit the activity that a request is by the rules."""
    activity, module, feature = rule
    user_id, role, session_id = actor
    emit.activity(
        activity, user_id=user_id, role=role, session_id=session_id, module=module, feature=feature,
        success=status < 400, duration_seconds=duration_seconds, ip=ip, user_agent=user_agent,
    )  # fmt: skip


def record_exception(
    error: BaseException, route: str, method: str, actor: Actor, ip: str | None, user_agent: str | None
) -> None:
    """Emit an exception with the request it belongs to; one that was emitted before is not emitted again."""
    emit.exception(
        error, endpoint=route, user_id=actor[0], ip=ip, user_agent=user_agent, context={"method": method}
    )  # fmt: skip


def lose(intake: Intake, where: str, trouble: Exception) -> None:
    """Count an event that was lost to an error of ours. Never raises."""
    try:
        intake.fail()
        note(where, trouble)
    except Exception:  # noqa: BLE001, S110 - nothing is left to be done
        pass
