"""Make the demo databases (`create`), or make their tables sources of the exporter (`adopt`)."""

import sys
from pathlib import Path

import setup

SOURCES = Path(__file__).with_name("demo-sources.yml")
DATABASES = ("stratlogic", "scitex")


def create() -> None:
    """Create the databases that demo-load.sh fills."""
    with setup.superuser("postgres") as connection:
        for name in DATABASES:
            setup.make_database(connection, name)


def adopt() -> None:
    """Add the sources to the configuration, adopt their tables as the owner, and reload the exporter."""
    with_demo = setup.CONFIGURATION.with_name(".with-demo.yml")
    with_demo.write_text(configuration(), encoding="utf-8")
    setup.lay(with_demo, setup.CONFIGURATION)
    with_demo.unlink()
    for name in DATABASES:
        setup.run_as_owner("adopt", name)
    setup.reload_exporter()


def configuration() -> str:
    """Return the exporter's configuration with the demo's sources."""
    base = setup.HERE.joinpath("platform-exporter.yml").read_text(encoding="utf-8")
    more = "".join(
        f"  {line}\n" for line in SOURCES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    return base.replace("  - preset: native\n", f"  - preset: native\n{more}", 1)


if __name__ == "__main__":
    {"create": create, "adopt": adopt}[sys.argv[1]]()
