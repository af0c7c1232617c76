"""The shipped configuration of Alertmanager, turned to a receiver of the test."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "alertmanager"
SHIPPED_RECEIVER = "http://127.0.0.1:9848/"


def turned_to(receiver_url: str, folder: Path) -> Path:
    """Write the shipped configuration with only the receiver's address exchanged, and return its path."""
    shipped = (FOLDER / "alertmanager.yml").read_text()
    assert shipped.count(SHIPPED_RECEIVER) == 1
    config = folder / "alertmanager.yml"
    config.write_text(shipped.replace(SHIPPED_RECEIVER, receiver_url))
    (folder / "templates").symlink_to(FOLDER / "templates")
    return config
