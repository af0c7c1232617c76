"""Run a MinIO server with several drives, or what stands in for it."""

from pathlib import Path
from typing import Literal

import urllib3
from minio import Minio as MinioClient

from tools.stack.checkout import say
from tools.stack.errors import StackError
from tools.stack.process import Command, clean_environment
from tools.stack.programs.search import Binary, find
from tools.stack.servers.base import Server

Flavour = Literal["minio", "moto"]


class Minio(Server):
    """An S3 store on loopback; its keys are access_key and secret_key, the latter generated and kept in NAME.secret.

    flavour "minio" is the real one: `drives` folders in one erasure set. "moto" is a stand-in without drives, health
    paths or a check of keys, which forgets all when it ends. None takes MinIO where there is one, else moto.
    """

    kind = "minio"

    def __init__(
        self,
        state_dir: Path,
        *,
        name: str | None = None,
        port: int | None = None,
        drives: int = 4,
        flavour: Flavour | None = None,
        binary: Binary | None = None,
    ) -> None:
        self.flavour: Flavour = flavour or "minio"
        if binary is None:
            self.flavour, binary = find_store(flavour)
        super().__init__(state_dir, binary, name=name, port=port)
        self.access_key = "platform"
        self.secret_key = self.secret("secret")
        self.drives = [self.data_dir / f"drive{number}" for number in range(1, drives + 1)]

    def client(self, access_key: str | None = None, secret_key: str | None = None) -> MinioClient:
        """Return a client with these keys, by default the root's, which gives up after 5 s, not after minutes."""
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(5), retries=False)
        return MinioClient(
            endpoint=self.address,
            access_key=access_key or self.access_key,
            secret_key=secret_key or self.secret_key,
            secure=False,
            region="us-east-1",
            http_client=pool,
        )

    def prepare(self) -> None:
        """Make the folders of the drives."""
        super().prepare()
        if self.flavour == "minio":
            for drive in self.drives:
                if not _away(drive).exists():
                    drive.mkdir(exist_ok=True)

    def command(self) -> Command:
        if self.flavour == "moto":
            argv = [str(self.binary.path), "-m", "moto.server", "-H", self.host, "-p", str(self.port)]
            return Command(argv, clean_environment("MOTO_", "AWS_"), folder=self.data_dir)
        # CI is left out: it would switch MinIO into a test mode with other limits.
        environment = clean_environment("MINIO_", "_MINIO_", "CI")
        environment |= {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            # MinIO refuses several drives on the disk of the root file system, unless a root disk is
            # declared to be one of at most this size: 1 byte, none.
            "MINIO_ROOTDRIVE_THRESHOLD_SIZE": "1B",
            # Metrics without a token, as Prometheus on the same machine scrapes them.
            "MINIO_PROMETHEUS_AUTH_TYPE": "public",
        }
        drives = [str(drive) for drive in self.drives]
        return Command([str(self.binary.path), "server", "--quiet", "--address", self.address, *drives], environment)

    def ready(self) -> bool:
        return self.ok("/" if self.flavour == "moto" else "/minio/health/cluster")

    def take_drive_away(self, number: int) -> None:
        """Make drive `number` (from 1) fail as if it were pulled out; MinIO sees it at its next look, within seconds.

        Raises StackError for moto, which has no drives.
        """
        drive = self._drive(number)
        drive.rename(_away(drive))
        # A file in its place: MinIO would create a missing folder and format it as a fresh drive.
        drive.touch()

    def give_drive_back(self, number: int) -> None:
        """Put a drive that was taken away back with its contents; nothing happens where it is there."""
        drive = self._drive(number)
        if _away(drive).exists():
            drive.unlink()
            _away(drive).rename(drive)

    def _drive(self, number: int) -> Path:
        if self.flavour != "minio":
            raise StackError(f"{self.name} is moto, a stand-in without drives: this needs a real MinIO")
        return self.drives[number - 1]


def find_store(flavour: Flavour | None = None) -> tuple[Flavour, Binary]:
    """Return a flavour and its program; None takes MinIO where it is available, else moto, and says so.

    Where MinIO is asked for by name, the toolchain to compile it with is fetched too, if need be.

    Raises StackError where none can be had.
    """
    if flavour != "moto":
        try:
            return "minio", find("minio", fetch_go=flavour == "minio")
        except StackError as error:
            if flavour == "minio":
                raise
            say(f"{error}. Taking moto instead: an S3-compatible stand-in without drives and health paths")
    return "moto", find("moto")


def _away(drive: Path) -> Path:
    return drive.with_name(f"{drive.name}.away")
