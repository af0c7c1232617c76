"""What an installation is made of, and what is said where it cannot be audited."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tools import supply


def test_the_bill_names_what_is_needed_and_no_more() -> None:
    """With what the dependencies need, and without the tests' own."""
    bill = supply.sbom()
    components = {one["name"]: one for one in bill["components"]}  # type: ignore[attr-defined]

    assert {"platform-exporter-sdk", "psycopg", "psycopg-binary", "msgspec", "urllib3"} <= set(components)
    assert not {"pytest", "django", "ruff"} & set(components)
    assert components["psycopg"]["purl"] == f"pkg:pypi/psycopg@{metadata.version('psycopg')}"
    assert bill["bomFormat"] == "CycloneDX"


def test_an_audit_that_could_not_be_done_says_so() -> None:
    """It is neither good nor bad: here nothing that audits can be imported."""
    code = "import sys; sys.executable = sys.argv[1]; from tools import supply; sys.exit(supply.audit())"
    run = subprocess.run(
        [sys.executable, "-c", code, "/bin/false"], capture_output=True, text=True, check=False, timeout=300
    )

    assert run.returncode == supply.NOT_CHECKED
    assert "nothing was checked" in run.stderr


PROGRAM = """import json, pathlib, sys
names = [line.partition("==") for line in pathlib.Path(sys.argv[-1]).read_text().splitlines()]
answer = json.loads(pathlib.Path(__file__).with_name("answer.json").read_text())
print(json.dumps({"dependencies": [{"name": name, **answer[min(n, len(answer) - 1)]}
                                   for n, (name, _, version) in enumerate(names)]}))
"""
SKIPPED = {"skip_reason": "Dependency not found on PyPI and could not be audited"}
GOOD, BAD = ({"version": "1.0", "vulns": found} for found in ([], [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]))


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ([SKIPPED], supply.NOT_CHECKED, "nothing was checked"),
        ([SKIPPED, GOOD], supply.NOT_CHECKED, "not checked: "),
        ([BAD, SKIPPED], supply.FOUND, "1.0: PYSEC-1, fixed in 1.1"),
        ([GOOD], 0, "0 known vulnerabilities"),
    ],
)
def test_a_distribution_that_the_database_does_not_know_is_not_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    answer: list[dict[str, object]], status: int, said: str,
) -> None:  # fmt: skip
    """Whatever the program says of it, by its exit status or in words."""
    (tmp_path / "pip_audit.py").write_text(PROGRAM)
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert supply.audit() == status
    assert said in "".join(capsys.readouterr())
