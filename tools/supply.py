"""What an installation is made of (`sbom`), and whether any of it has a known vulnerability (`audit`)."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PRODUCT = "platform-exporter"
OWN = (PRODUCT, "platform-exporter-sdk")
FOUND, NOT_CHECKED = 1, 3


def installed(root: str) -> dict[str, metadata.Distribution]:
    """Return a distribution and all that it needs here, by normalized name."""
    found: dict[str, metadata.Distribution] = {}
    wanted: list[tuple[str, frozenset[str]]] = [(root, frozenset())]
    for name, extras in wanted:  # grows meanwhile
        distribution = metadata.distribution(name)
        found[normalized(name)] = distribution
        for needed in _needed(distribution, extras):
            one = (normalized(needed.name), frozenset(needed.extras))
            if one not in wanted:
                wanted.append(one)
    return found


def _needed(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or ("",)):
            yield needed


def normalized(name: str) -> str:
    """Return a distribution's name as PyPI writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def sbom(root: str = PRODUCT) -> dict[str, object]:
    """Return the bill of materials of this installation, in CycloneDX 1.5."""
    found = installed(root)
    components = [_component(name, one) for name, one in sorted(found.items()) if name != root]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {"timestamp": f"{datetime.now(UTC):%FT%TZ}", "component": _component(root, found[root])},
        "components": components,
    }


def _component(name: str, distribution: metadata.Distribution) -> dict[str, object]:
    known = distribution.metadata
    license_ = known.get("License-Expression") or next(
        (one.rpartition(" :: ")[2] for one in known.get_all("Classifier") or () if one.startswith("License ::")), None
    )
    component: dict[str, object] = {
        "type": "application" if name == PRODUCT else "library", "name": name, "version": distribution.version,
        "purl": f"pkg:pypi/{name}@{distribution.version}", "bom-ref": f"{name}@{distribution.version}",
    }  # fmt: skip
    return component | ({"licenses": [{"license": {"name": license_}}]} if license_ else {})


def audit() -> int:
    """Ask PyPI's database of vulnerabilities for every distribution that the product needs here.

    Return 0 if none is known, 1 if one is, 3 if not all of them could be asked for.
    """
    lines = [f"{name}=={one.version}" for name, one in installed(PRODUCT).items() if name not in OWN]
    with tempfile.TemporaryDirectory() as folder:
        (listed := Path(folder) / "installed.txt").write_text("\n".join(lines))
        run = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--no-deps", "--disable-pip", "--format=json",
             "--requirement", listed], capture_output=True, text=True, check=False,
        )  # fmt: skip
    try:
        answers = json.loads(run.stdout)["dependencies"]
    except (ValueError, LookupError):
        cause = run.stderr.strip().splitlines()[-1:] or [f"exit status {run.returncode}"]
        print(f"{_NOTHING} the database of vulnerabilities does not answer: {cause[0]}", file=sys.stderr)
        return NOT_CHECKED
    return _judged(answers, len(lines))


_NOTHING = "audit: nothing was checked,"


def _judged(answers: list[dict[str, Any]], asked: int) -> int:
    """Print what is known of each distribution and which were left out; return the exit status."""
    known = [one for one in answers if "vulns" in one]
    found = [(one, weakness) for one in known for weakness in one["vulns"]]
    for one, weakness in found:
        fixed = ", ".join(weakness["fix_versions"]) or "no version"
        print(f"{one['name']} {one['version']}: {weakness['id']}, fixed in {fixed}")
    print(f"audit: {len(known)} of {asked} distributions were checked, {len(found)} known vulnerabilities were found")
    skipped = [f"{one['name']} ({one['skip_reason']})" for one in answers if "vulns" not in one]
    if not known:
        print(f"{_NOTHING} {'; '.join(skipped[:1]) or 'the answer names no distribution'}", file=sys.stderr)
    elif skipped:
        print(f"audit: not checked: {'; '.join(skipped)}", file=sys.stderr)
    return FOUND if found else NOT_CHECKED if len(known) < asked else 0


def main() -> int:
    """Do what the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.supply", description=__doc__)
    parser.add_argument("what", choices=("audit", "sbom"))
    if parser.parse_args().what == "audit":
        return audit()
    print(json.dumps(sbom(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
