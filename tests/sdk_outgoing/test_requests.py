"""What only requests has: urllib3's retries, adapters, sessions that are pickled, digest authentication."""

import pickle
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from platform_sdk.outgoing import requests as outgoing
from tests.sdk_outgoing.api import Api

Recorded = Callable[[], list[dict[str, Any]]]


def tries(rows: list[dict[str, Any]]) -> list[tuple[int, int | None, str | None]]:
    """Return attempt, status and reason of each row."""
    return [(row["attempt"], row["status"], row["reason"]) for row in rows]


def test_retries_by_status_are_separate_calls(api: Api, recorded: Recorded) -> None:
    """Each try that urllib3 makes is a call, failed ones too."""
    outgoing.install()
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503])))
        assert session.get(api.url("/flaky/2")).status_code == 200

    assert tries(recorded()) == [(1, 503, "server_error"), (2, 503, "server_error"), (3, 200, None)]


def test_retries_that_run_out(api: Api, recorded: Recorded) -> None:
    """The last try is recorded once, as the one that failed the call."""
    outgoing.install()
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(1, read=1)))
        with pytest.raises(requests.ConnectionError):
            session.get(api.url("/hang"), timeout=0.1)

    assert tries(recorded()) == [(1, None, "timeout"), (2, None, "timeout")]


def test_backoff_is_no_part_of_a_try(api: Api, recorded: Recorded) -> None:
    """The time urllib3 sleeps between tries counts for none of them."""
    slept: list[float] = []

    class Sleeping(Retry):
        def _sleep_backoff(self) -> None:
            began = perf_counter()
            super()._sleep_backoff()
            slept.append(perf_counter() - began)

    outgoing.install()
    began = perf_counter()
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Sleeping(2, status_forcelist=[503], backoff_factor=0.1)))
        session.get(api.url("/flaky/2"))
    elapsed_seconds = perf_counter() - began

    assert sum(slept) > 0.1
    assert sum(row["duration_seconds"] for row in recorded()) < elapsed_seconds - sum(slept)


def test_monitored_session(api: Api, recorded: Recorded) -> None:
    """One session can be recorded without touching the others."""
    with outgoing.MonitoredSession(apis={api.host: "papers"}) as session:
        session.get(api.url("/ok"))
    requests.get(api.url("/ok"), timeout=60)

    assert [row["api"] for row in recorded()] == ["papers"]


def test_monitored_session_with_all_sessions_recorded(api: Api, recorded: Recorded) -> None:
    """A call that two hooks see is recorded once, by the nearer one."""
    outgoing.install(apis={api.host: "of all"})
    with outgoing.MonitoredSession(apis={api.host: "papers"}) as session:
        session.get(api.url("/ok"))

    assert [row["api"] for row in recorded()] == ["papers"]


def test_pickled_session_goes_on_recording(api: Api, recorded: Recorded) -> None:
    """As sessions are, a monitored one can be sent to another process."""
    session = pickle.loads(pickle.dumps(outgoing.MonitoredSession(apis={api.host: "papers"})))
    session.get(api.url("/ok"))

    assert [row["api"] for row in recorded()] == ["papers"]


def test_call_in_a_hook_of_an_answer(api: Api, recorded: Recorded) -> None:
    """A response hook may make another call, as authentication does."""
    outgoing.install()

    def once_more(response: requests.Response, **_: Any) -> None:
        if response.url.endswith("/status/401"):
            requests.get(api.url("/token"), timeout=60)

    requests.get(api.url("/status/401"), hooks={"response": once_more}, timeout=60)

    assert [(row["endpoint"], row["status"]) for row in recorded()] == [("/status/{id}", 401), ("/token", 200)]


def test_answer_that_is_never_read(api: Api, recorded: Recorded) -> None:
    """With stream=True the head is enough; the size is the announced one."""
    outgoing.install()
    requests.get(api.url("/held"), stream=True, timeout=60).close()
    (row,) = recorded()

    assert (row["outcome"], row["response_bytes"]) == ("success", 6000)


def test_hook_under_another(api: Api, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another library patched requests after us, uninstalling leaves its patch and records nothing more."""
    outgoing.install()
    ours = requests.Session.send

    def theirs(session: requests.Session, *args: Any, **kwargs: Any) -> Any:
        return ours(session, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "send", theirs)
        outgoing.uninstall()
        requests.get(api.url("/ok"), timeout=60)
        stayed = requests.Session.send is theirs
        outgoing.install()
        requests.get(api.url("/ok"), timeout=60)

    assert stayed
    assert len(recorded()) == 1
