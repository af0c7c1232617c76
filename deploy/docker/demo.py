"""Make the demo databases (`create`), or make their tables sources of the exporter and write a past of the simulated
platform (`adopt`), or remove the simulated data (`remove`)."""

import os
import sys
from pathlib import Path

import setup

SOURCES = Path(__file__).with_name("demo-sources.yml")
PAST = os.environ.get("PLATFORM_DEMO_PAST", "7d")
DATABASES = ("stratlogic", "scitex")


def create() -> None:
    """Create the databases that demo-load.sh fills."""
    with setup.superuser("postgres") as connection:
        for name in DATABASES:
            setup.make_database(connection, name)


def adopt() -> None:
    """Add the sources to the configuration, adopt their tables and write a past as the owner, reload the exporter."""
    with_demo = setup.CONFIGURATION.with_name(".with-demo.yml")
    with_demo.write_text(configuration(), encoding="utf-8")
    setup.lay(with_demo, setup.CONFIGURATION)
    with_demo.unlink()
    for name in DATABASES:
        setup.run_as_owner("adopt", name)
    setup.run_as_owner("demo", "--past", PAST, "--no-live")
    setup.reload_exporter()


def remove() -> None:
    """Remove the simulated data, as the owner; the two databases stay."""
    setup.run_as_owner("demo", "--remove")


def configuration() -> str:
    """Return the exporter's configuration with the demo's sources."""
    base = setup.HERE.joinpath("platform-exporter.yml").read_text(encoding="utf-8")
    more = "".join(
        f"  {line}\n" for line in SOURCES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    return base.replace("  - preset: native\n", f"  - preset: native\n{more}", 1)


if __name__ == "__main__":
    {"create": create, "adopt": adopt, "remove": remove}[sys.argv[1]]()
