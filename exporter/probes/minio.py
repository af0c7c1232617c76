"""Probe MinIO, or any S3-compatible store: is it live and writable, do the keys sign in, are the buckets there."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from msgspec import Meta

from exporter.probes.base import Answer, Degradation, Driver, Gauge, GaugeFamily, Probe, ProbeError, Reason, Target
from exporter.probes.certificate import CertificateWatch, Peer
from exporter.probes.reasons import reason_of
from exporter.sections import FilePath, Problem, Secret, authority_problems, is_host, is_port

if TYPE_CHECKING:
    import minio
    import urllib3
else:
    minio, urllib3 = Driver("minio"), Driver("urllib3")

RECHECK_SECONDS = 600.0
"""For how long it is believed that a store has no health paths, or that the drives may not be seen."""

DRIVES_SHARE = 0.5
"""The share of the time left that asking for the drives may take: a cluster waits there for nodes that are gone."""

_REFUSED_KEYS = frozenset(
    {
        "AccountProblem",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "InvalidTokenId",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
"""The S3 error codes that say the keys are wrong. AccessDenied is not one: right keys without that right get it."""

_METRIC = re.compile(r"^minio_cluster_drive_(?P<state>online|offline)_total(?:\{[^}]*\})? (?P<value>\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Drives:
    """A store's drives."""

    online: int
    offline: int


@dataclass(slots=True)
class Findings:
    """What a check found, until something makes it fail."""

    degraded: list[Degradation] = field(default_factory=list)
    gauges: list[Gauge] = field(default_factory=list)


class MinioTarget(Target, frozen=True):
    """An S3-compatible store to probe, and the buckets that must be visible with these keys."""

    endpoint: Annotated[str, Meta(min_length=1)]
    access_key: Secret
    secret_key: Secret
    secure: bool = True
    ca_file: FilePath | None = None
    region: str | None = None
    buckets: tuple[str, ...] = ()

    def problems(self) -> Iterator[Problem]:
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d+))?", self.endpoint)
        if not match or not is_host(match[1]) or (match[2] and not is_port(match[2])):
            shown = None if "@" in self.endpoint else self.endpoint
            yield Problem("endpoint", "HOST:PORT without scheme, user or path", shown)
        yield from authority_problems(self.ca_file)


class MinioProbe(Probe):
    """The probe of one store, over one kept connection.

    The drives are shown to keys with the right `admin:ServerInfo`, else to anyone where MinIO's own metrics are public;
    else their gauges are left out. A store without `/minio/health/*` is probed by signed requests.
    """

    component = "minio"
    target = MinioTarget
    families = (
        GaugeFamily("minio_drives_online", "Drives of the store that work."),
        GaugeFamily("minio_drives_offline", "Drives of the store that do not."),
        GaugeFamily("minio_bucket_up", "Whether a bucket can be seen with the keys given.", ("bucket",)),
    )
    weaknesses = ("bucket", "drives")
    example = """
name: main              # any S3-compatible store
endpoint: 127.0.0.1:9000
access_key: platform
secret_key_file: /run/secrets/minio_secret_key
secure: false           # default: true
ca_file: /etc/ssl/minio-ca.pem  # default: the authorities that the machine trusts
region: eu-central-1    # default: asked of the store
buckets: [artifacts]
"""

    def __init__(self, settings: MinioTarget) -> None:
        super().__init__(settings)
        self._deadline = 0.0
        self._http = _deadline_pool(settings.ca_file, lambda: self._deadline)
        self._certificate = CertificateWatch()
        self._base = f"{'https' if settings.secure else 'http'}://{settings.endpoint}"
        self._no_health_until = 0.0
        self._no_drives_until = 0.0
        keys = minio.credentials.providers.StaticProvider(settings.access_key.reveal(), settings.secret_key.reveal())
        store: dict[str, Any] = {"endpoint": settings.endpoint, "secure": settings.secure, "credentials": keys}
        self._s3 = minio.Minio(region=settings.region, http_client=self._http, **store)
        self._admin = minio.MinioAdmin(region=settings.region or "", http_client=self._http, **store)

    def check(self, timeout_seconds: float) -> Answer:
        """Ask for health, buckets and drives, one after the other. Raises ProbeError."""
        self._deadline = time.monotonic() + timeout_seconds
        findings = Findings()
        try:
            is_minio = self._is_minio()
            if is_minio:
                self._require_quorum(findings)
            self._see_buckets(findings)
            if is_minio:
                self._count_drives(findings)
        except (minio.error.MinioException, urllib3.exceptions.HTTPError, OSError, ParseError) as error:
            self.close()
            raise ProbeError(reason_of_failure(error), _message(error, timeout_seconds)) from error
        return Answer(tuple(findings.degraded), (*findings.gauges, *self._certificate.gauges(self._tls_peer())))

    def close(self) -> None:
        """Drop the connection."""
        self._http.clear()

    def _tls_peer(self) -> Peer | None:
        address = urlsplit(self._base)
        host = address.hostname or ""
        return Peer(host, address.port or 443, host) if self.settings.secure else None

    def _is_minio(self) -> bool:
        """Ask whether the server is live. Raises ProbeError where it says it is not."""
        if time.monotonic() < self._no_health_until:
            return False
        status = self._get("/minio/health/live").status
        if status == 200:
            return True
        if status >= 500 or status == 429:
            raise ProbeError(Reason.REFUSED, f"/minio/health/live was answered with status {status}")
        self._no_health_until = time.monotonic() + RECHECK_SECONDS
        return False

    def _require_quorum(self, findings: Findings) -> None:
        """Raise ProbeError, with what the drives say, where nothing can be written."""
        if self._get("/minio/health/cluster").status != 503:
            return
        reads = self._get("/minio/health/cluster/read").status == 200
        self._count_drives(findings)
        more = (found.cause for found in findings.degraded)
        causes = ("no write quorum", "reads are still served" if reads else "no read quorum either", *more)
        raise ProbeError(Reason.REFUSED, "; ".join(causes), tuple(findings.gauges))

    def _see_buckets(self, findings: Findings) -> None:
        """Sign in, by looking at the buckets named; where none is, by listing what there is."""
        denied = not self.settings.buckets
        for bucket in self.settings.buckets:
            problem = self._problem_of(bucket)
            findings.gauges.append(Gauge("minio_bucket_up", 0 if problem else 1, {"bucket": bucket}))
            if problem:
                findings.degraded.append(Degradation("bucket", f"bucket {bucket!r} {problem}"))
                denied = denied or "denied" in problem
        if denied:  # the answer to HEAD has no body, so a wrong secret looks like a missing right
            self._sign_in()

    def _problem_of(self, bucket: str) -> str:
        try:
            return "" if self._s3.bucket_exists(bucket_name=bucket) else "does not exist"
        except minio.error.S3Error as error:
            if error.code == "NoSuchBucket":  # asked for its region
                return "does not exist"
            if error.code == "AccessDenied":
                return "is denied to these keys; expected s3:ListBucket and s3:GetBucketLocation"
            raise

    def _sign_in(self) -> None:
        try:
            list(self._s3.list_buckets())
        except minio.error.S3Error as error:
            if error.code != "AccessDenied":
                raise

    def _count_drives(self, findings: Findings) -> None:
        """Count the drives, in a share of the time left, where they may be seen. Never fails a check."""
        now = time.monotonic()
        if now < self._no_drives_until:
            return
        deadline = self._deadline
        self._deadline = now + (deadline - now) * DRIVES_SHARE
        try:
            drives = self._drives_by_admin() or self._drives_by_metrics()
        except (urllib3.exceptions.HTTPError, OSError, ValueError, LookupError, TypeError) as error:
            cause = f"the drives could not be counted ({_message(error, self._deadline - now)})"
            findings.degraded.append(Degradation("drives", cause))
            return
        finally:
            self._deadline = deadline
        if drives is None:
            self._no_drives_until = now + RECHECK_SECONDS
            return
        findings.gauges.append(Gauge("minio_drives_online", drives.online))
        findings.gauges.append(Gauge("minio_drives_offline", drives.offline))
        if drives.offline:
            cause = f"{drives.offline} of {drives.online + drives.offline} drives are offline"
            findings.degraded.append(Degradation("drives", cause))

    def _drives_by_admin(self) -> Drives | None:
        try:
            backend: dict[str, Any] = json.loads(self._admin.info())["backend"]
        except minio.error.MinioAdminException:
            return None
        return Drives(int(backend["onlineDisks"]), int(backend["offlineDisks"]))

    def _drives_by_metrics(self) -> Drives | None:
        """Return what MinIO counted lately: it keeps these figures for some seconds."""
        answer = self._get("/minio/v2/metrics/cluster")
        found = {match["state"]: int(float(match["value"])) for match in _METRIC.finditer(answer.data.decode())}
        return Drives(**found) if answer.status == 200 and len(found) == 2 else None

    def _get(self, path: str) -> "urllib3.BaseHTTPResponse":
        return self._http.request("GET", self._base + path)


def _deadline_pool(ca_file: str | None, deadline: Callable[[], float]) -> "urllib3.PoolManager":
    """Return a pool of one kept connection, no request over which outlives `deadline` (of `time.monotonic`)."""

    class DeadlinePool(urllib3.PoolManager):
        def urlopen(  # type: ignore[override]  # the client library passes what it likes
            self, method: str, url: str, redirect: bool = True, **options: Any
        ) -> "urllib3.BaseHTTPResponse":
            remaining = deadline() - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            options |= {"timeout": urllib3.Timeout(total=remaining), "retries": False}
            return super().urlopen(method, url, redirect=False, **options)

    return DeadlinePool(num_pools=1, maxsize=1, cert_reqs="CERT_REQUIRED", ca_certs=ca_file)


def reason_of_failure(error: Exception) -> Reason:
    """Return the reason by S3's code, by HTTP status, else by what the exception came from."""
    if isinstance(error, minio.error.S3Error):
        return Reason.AUTH if error.code in _REFUSED_KEYS else Reason.OTHER
    if isinstance(error, minio.error.ServerError):
        return Reason.REFUSED if error.status_code in (429, 503) else Reason.OTHER
    if isinstance(error, minio.error.InvalidResponseError | ParseError):
        return Reason.PROTOCOL
    if isinstance(error, urllib3.exceptions.HTTPError):
        return reason_of(error) or Reason.PROTOCOL
    return reason_of(error) or Reason.OTHER


def _message(error: Exception, timeout_seconds: float) -> str:
    if reason_of(error) is Reason.TIMEOUT:
        return f"no answer in {timeout_seconds:.3g} s"
    if isinstance(error, minio.error.S3Error):
        return f"{error.code}: {error.message}"
    return str(error)
