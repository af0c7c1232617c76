"""What an installation is made of, and what is said where it cannot be audited."""

import subprocess
import sys
from importlib import metadata

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
