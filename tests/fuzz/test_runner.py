"""Fuzzing finds a fault that is there, keeps the input, and repeats it by its number."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tools.fuzz import runner
from tools.fuzz.target import Check, Target


class Thirds(Target):
    """A target that fails for every number that ends in 3, and breaks at 7."""

    name = "thirds"
    cases = few = 100

    def make(self, random: Random) -> bytes:
        return str(random.randrange(10)).encode()

    @contextlib.contextmanager
    def checking(self) -> Iterator[Check]:
        yield self.check

    @staticmethod
    def check(data: bytes) -> None:
        if data == b"3":
            raise AssertionError("it is '3'")  # pytest would add to what `assert` says
        {b"7": {}}.get(data, {"x": 1})["x"]


def test_each_kind_of_fault_is_found_once(tmp_path: Path) -> None:
    """What an assertion says, and the traceback of whatever else is raised; all inputs that failed are counted."""
    outcome = runner.run(Thirds(), 100, kept=tmp_path)

    assert [fault.problem.splitlines()[-1] for fault in outcome.faults.values()] in (
        ["it is '3'", "KeyError: 'x'"], ["KeyError: 'x'", "it is '3'"],
    )  # fmt: skip
    assert 2 < outcome.failed < outcome.cases == 100


def test_a_fault_is_found_again_by_its_number(tmp_path: Path) -> None:
    """The same seed and number make the same input."""
    found = runner.run(Thirds(), 100, seed=5, kept=tmp_path, keep=False)
    number = int(next(iter(found.faults.values())).again.split()[-3])

    assert runner.run(Thirds(), 1, seed=5, first=number, kept=tmp_path).failed == 1


def test_an_input_that_found_something_is_kept_and_tried_first(tmp_path: Path) -> None:
    """Until the fault is mended every run finds it, however few inputs it makes."""
    runner.run(Thirds(), 100, kept=tmp_path)

    assert sorted(path.read_bytes() for path in (tmp_path / "thirds").iterdir()) == [b"3", b"7"]
    assert runner.run(Thirds(), 0, kept=tmp_path).failed == 2


def test_nothing_is_kept_where_it_is_not_asked_for(tmp_path: Path) -> None:
    """Tests leave the checkout as it is."""
    runner.run(Thirds(), 100, kept=tmp_path, keep=False)

    assert list(tmp_path.iterdir()) == []


def test_an_input_that_takes_for_ever_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and the run goes on."""
    monkeypatch.setattr(runner, "HANGS_SECONDS", 0.05)
    monkeypatch.setattr(Thirds, "check", staticmethod(_forever))

    outcome = runner.run(Thirds(), 2, kept=tmp_path)

    assert outcome.failed == 2
    assert "no end after" in next(iter(outcome.faults.values())).problem


def _forever(data: bytes) -> None:
    while True:
        pass
