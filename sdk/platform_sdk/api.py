"""Log manually: the functions that application code calls. None of them raises into it or waits for anything."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from platform_sdk import emit
from platform_sdk.actor import actor_of, session_digest
from platform_sdk.arguments import checked
from platform_sdk.client import guarded, guarded_otherwise
from platform_sdk.model_usage import ModelUsage
from platform_sdk.outgoing import outcomes
from platform_sdk.request_context import request_details
from platform_sdk.typing import Level, SampleKind, Severity


@guarded_otherwise(False)
@checked
def log_error(
    error: BaseException | str,
    message: str | None = None,
    severity: Severity = "medium",
    *,
    error_type: str | None = None,
    endpoint: str | None = None,
    user_id: object = None,
    job_id: str | None = None,
    fingerprint: str | None = None,
    stack_trace: str | None = None,
    template: str | None = None,
    context: Mapping[str, Any] | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
    **more: Any,
) -> bool:
    """Log an exception, `log_error(exc)`; a message, `log_error("it broke")`; or `log_error("TypeOfError", "text")`.

    Return whether it was recorded: an exception is once, and one of the option `ignore_errors` never.
    `error_type` replaces the type, by which errors are grouped and shown; message and stack trace stay the
    exception's. `stack_trace` is for texts that have one. `fingerprint` groups occurrences by this text; `template`
    groups texts by what they were made of, `"no paper %s"`. Other keyword arguments become part of `context`.
    Missing arguments are taken from the request that is being served, if any.
    `user_id` may also be an object that holds one.
    """
    user_id = actor_of(user_id)[0]
    if (request := request_details()) is not None:
        endpoint, user_id = (
            request.route if endpoint is None else endpoint,
            request.user_id if user_id is None else user_id,
        )
        ip, user_agent = request.ip if ip is None else ip, request.user_agent if user_agent is None else user_agent
        context = {"method": request.method, **_mapping(context)}
    if isinstance(error, BaseException):
        if more or message is not None:
            context = {**_mapping(context), **({} if message is None else {"message": message}), **more}
        return emit.exception(
            error, error_type=error_type, severity=severity, endpoint=endpoint, user_id=user_id, job_id=job_id,
            fingerprint=fingerprint, context=context, ip=ip, user_agent=user_agent,
        )  # fmt: skip
    kind, text = ("LoggedError", error) if message is None else (error, message)
    return emit.error_message(
        text, error_type=kind if error_type is None else error_type, severity=severity, endpoint=endpoint,
        user_id=user_id, job_id=job_id, fingerprint=fingerprint, stack_trace=stack_trace, template=template,
        context={**_mapping(context), **more} if more else context, ip=ip, user_agent=user_agent,
    )  # fmt: skip


@guarded_otherwise(False)
@checked
def capture_exception(
    error: BaseException | tuple[Any, BaseException | None, Any] | str | None = None,
    *,
    level: Level | Severity = "error",
    user: Mapping[str, Any] | None = None,
    fingerprint: str | Sequence[str] | None = None,
    **about: Any,
) -> bool:
    """Log an exception as Sentry's function of this name does; return whether it was recorded.

    Without `error`, or with what `sys.exc_info()` returns, it is the exception that is being handled; if there is none,
    nothing is logged. `user` may hold id, ip_address and others; other keyword arguments (tags, extras, contexts)
    become context.
    """
    if isinstance(error, tuple):
        error = error[1]
    error = sys.exc_info()[1] if error is None else error
    return error is not None and log_error(error, **_as_ours(level, user, fingerprint, about))


@guarded_otherwise(False)
@checked
def capture_message(
    message: str,
    level: Level | Severity = "info",
    *,
    user: Mapping[str, Any] | None = None,
    fingerprint: str | Sequence[str] | None = None,
    **about: Any,
) -> bool:
    """Log a message as Sentry's function of this name does; return whether it was recorded.

    It is an error of the type "Message", whose severity is low for the levels debug and info, medium for warning, high
    for error and critical for fatal.
    """
    return log_error(message, error_type="Message", **_as_ours(level, user, fingerprint, about))


@guarded
@checked
def log_activity(
    activity: str,
    user_id: object = None,
    *,
    role: str | None = None,
    session_id: str | None = None,
    module: str | None = None,
    feature: str | None = None,
    success: bool = True,
    duration_seconds: float | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
    details: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Log something a user did; other keyword arguments become part of `details`.

    A digest of `session_id` is stored, as by the middlewares: the key itself would let a reader take the session.
    Missing arguments are taken from the request that is being served, if any; its role only with its user.
    `user_id` may also be an object that holds one.
    """
    user_id = actor_of(user_id)[0]
    if more:
        details = {**_mapping(details), **more}
    session_id = session_digest(session_id)
    if (request := request_details()) is not None:
        role = request.role if role is None and user_id in (None, request.user_id) else role
        user_id = request.user_id if user_id is None else user_id
        session_id = session_id or request.session_id
        ip = request.ip if ip is None else ip
        user_agent = request.user_agent if user_agent is None else user_agent
    emit.activity(
        activity, user_id=user_id, role=role, session_id=session_id, module=module,
        feature=feature, success=success, duration_seconds=duration_seconds, ip=ip, user_agent=user_agent,
        details=details,
    )  # fmt: skip


@guarded
@checked
def log_api_usage(
    api: str,
    endpoint: str | None = None,
    duration_seconds: float = 0.0,
    status: int | None = None,
    *,
    success: bool | None = None,
    reason: str | None = None,
    error: BaseException | None = None,
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    response_bytes: int | None = None,
    cost: float | None = None,
    usage: ModelUsage | None = None,
    **more: Any,
) -> None:
    """Log a call to an external API that was timed elsewhere.

    `cost` is what the provider charges for it, `usage` what a language model used, by which the cost is known where it
    has a price. If `success` is None, the status or the error decides. Other keyword
    arguments become part of `params`.
    """
    if reason is None and success is not True:
        if error is not None:
            reason, found = outcomes.reason_of_exception(error)
            status = found if status is None else status
        else:
            reason = outcomes.reason_of_status(status) or ("other" if success is False else None)
    emit.api_call(
        api, endpoint, "success" if reason is None else "failure", duration_seconds, method=method, status=status,
        reason=reason, response_bytes=response_bytes, query={**_mapping(params), **more} if more else params,
        cost=emit.cost_of(usage) if cost is None else cost, usage=usage,
    )  # fmt: skip


@guarded
@checked
def sample(name: str, value: float, kind: SampleKind = "gauge", unit: str | None = None, **labels: Any) -> None:
    """Log a value of a custom metric; `kind` is counter (an amount to add), gauge, histogram or summary.

    `unit` may be ms, KB, % and such; it is converted to base units. Only labels on the exporter's allow-list are shown.
    """
    emit.sample(name, value, kind, unit, labels or None)


_SEVERITIES: dict[str, Severity] = {
    **{severity: severity for severity in get_args(Severity)},
    "debug": "low", "info": "low", "warning": "medium", "error": "high", "fatal": "critical",
}  # fmt: skip


def _as_ours(
    level: str, user: Mapping[str, Any] | None, fingerprint: str | Sequence[str] | None, about: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of `log_error` that say what those of the other SDK do."""
    known = _mapping(user)
    joined = fingerprint if isinstance(fingerprint, str) or fingerprint is None else " ".join(map(str, fingerprint))
    ours = {
        "severity": _SEVERITIES.get(str(level).lower(), "high"), "fingerprint": joined, "ip": known.get("ip_address"),
        "user_id": next((known[name] for name in ("id", "username", "email") if known.get(name) is not None), None),
    }  # fmt: skip
    return {**about, **ours}


def _mapping(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    return cast(Mapping[str, Any], value) if issubclass(type(value), Mapping) else {"value": value}
