"""Make the demo databases (`create`), or make their tables sources of the exporter and write a past of the simulated
platform (`adopt`), or remove the simulated data (`remove`)."""

import os
import sys

import setup

PAST = os.environ.get("PLATFORM_DEMO_PAST", "7d")
DATABASES = ("stratlogic", "scitex")


def create() -> None:
    """Create the databases that demo-load.sh fills."""
    with setup.superuser("postgres") as connection:
        for name in DATABASES:
            setup.make_database(connection, name)


def adopt() -> None:
    """Add the sources to the configuration, adopt their tables and write a past as the owner, reload the exporter."""
    exporter = setup.LookUp(setup.EXPORTER.partition(":")[0])
    changed = setup.lay(setup.configuration(with_demo=True), setup.CONFIGURATION)
    for name in DATABASES:
        setup.run_as_owner("adopt", name)
    setup.run_as_owner("demo", "--past", PAST, "--no-live")
    if changed:
        setup.reload_exporter(exporter)


def remove() -> None:
    """Remove the simulated data, as the owner; the two databases stay."""
    setup.run_as_owner("demo", "--remove")


if __name__ == "__main__":
    {"create": create, "adopt": adopt, "remove": remove}[sys.argv[1]]()
