"""The Makefile: what `make help` names can be made."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_target_has_what_it_needs() -> None:
    """A stamp without a rule made `make kubernetes` end with "No rule to make target"."""
    targets = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "kubernetes" in targets
    command = ["make", "--dry-run", "VENV=.venv-that-is-not-there", *targets]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_bill_is_all_that_a_first_run_prints(tmp_path: Path) -> None:
    """`make sbom > sbom.json` began with what was installed."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("v/bin", "sdk"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pyproject.toml", "sdk/pyproject.toml"):
        (tmp_path / name).touch()
    command = ["make", "sbom", "VENV=v", "PYTHON=echo {}; :", "PIP=echo installed", "FIND_PYTHON=echo echo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)

    assert done.stdout == "{}\n"
    assert "installed" in done.stderr
    assert "Making v" in done.stderr
