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
