"""Web configuration files: what is accepted, and the message for each invalid key."""

import asyncio
import base64
import ipaddress
import itertools
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import bcrypt
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.errors import WebConfigError
from exporter.web import basic_auth
from exporter.web.basic_auth import MOST_QUEUED, MOST_REMEMBERED, BasicAuthUsers, parse_basic
from exporter.web.rate_limit import TokenBucket
from exporter.web.tls import matches_any
from exporter.web.web_config import WebConfig

HASH = "$2y$04$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="module")
def pems(authority: trustme.CA) -> dict[str, str]:
    """Return the texts of an authority, a certificate of its and two keys."""
    certificate, other = authority.issue_cert("localhost"), authority.issue_cert("other")
    return {
        "ca": authority.cert_pem.bytes().decode(),
        "cert": certificate.cert_chain_pems[0].bytes().decode(),
        "key": certificate.private_key_pem.bytes().decode(),
        "other": other.private_key_pem.bytes().decode(),
    }


@pytest.fixture
def folder(tmp_path: Path, pems: dict[str, str]) -> Path:
    """Return a folder with ca.pem, cert.pem, key.pem, other.pem and some that are wrong."""
    for name, text in pems.items():
        (tmp_path / f"{name}.pem").write_text(text)
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    (tmp_path / "locked.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    (tmp_path / "binary.pem").write_bytes(b"\xff\xfe")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def tls(keys: str) -> str:
    """Return a file with a certificate and these keys in its section."""
    return f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem, {keys}}}\n"


COMPLETE = f"""
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example.org]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP521, X25519]
http_server_config:
  http2: true
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: 1; mode=block
    Strict-Transport-Security: ""
basic_auth_users:
  prometheus: {HASH}
rate_limit: {{interval: 100ms, burst: 20}}
"""


def test_every_key_is_known(folder: Path) -> None:
    """A file with every key of the format is accepted."""
    WebConfig(written(folder, COMPLETE))


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "tls_server_config:\n", "http_server_config: {headers: }\n", "basic_auth_users:\n", "{}"],
)
def test_empty_is_plain_http(folder: Path, text: str) -> None:
    """A file that says nothing means plain HTTP without users, as with the toolkit."""
    assert WebConfig(written(folder, text)).tls() is None


def test_inline_certificates(folder: Path, pems: dict[str, str]) -> None:
    """Certificate, key and authority may stand in the file itself."""
    inline = {"cert": pems["cert"], "key": pems["key"], "client_ca": pems["ca"]}
    lines = [f"  {name}: |\n" + "".join(f"    {line}\n" for line in pem.splitlines()) for name, pem in inline.items()]
    web = WebConfig(
        written(folder, f"tls_server_config:\n  client_auth_type: VerifyClientCertIfGiven\n{''.join(lines)}")
    )

    assert web.tls() is not None


BAD = [
    # text, what the message must hold
    ("tls_server_config: [", "invalid YAML: "),
    ("- a", "invalid list: expected a mapping"),
    ("tls_config: {}", "unknown key `tls_config`: expected one of tls_server_config, http_server_config"),
    (tls("cert_fil: x"), "unknown key `cert_fil` in `tls_server_config`: expected one of cert, key"),
    (
        "http_server_config: {http3: true}",
        "unknown key `http3` in `http_server_config`: expected one of http2, headers",
    ),
    ("rate_limit: {rate: 5}", "unknown key `rate` in `rate_limit`: expected one of interval, burst"),
    ("rate_limit: {}\nrate_limit: {}", "key `rate_limit` is given twice"),
    ("tls_server_config: 5", "`tls_server_config`: Expected `object | null`, got `str`"),
    (tls("min_version: 1.2"), "invalid `tls_server_config.min_version` '1.2': expected one of TLS10"),
    (tls("key: [5]"), "`tls_server_config.key`: Expected `str`, got `list`"),
    ("http_server_config: {http2: 1}", "`http_server_config.http2`: Expected `bool`, got `int`"),
    ("tls_server_config: {key_file: key.pem}", "`tls_server_config.cert_file` and `tls_server_config.cert`: neither"),
    ("tls_server_config: {cert_file: cert.pem}", "`tls_server_config.key_file` and `tls_server_config.key`: neither"),
    ("tls_server_config: {cert_file: gone.pem, key_file: key.pem}", "gone.pem cannot be read (No such file"),
    ("tls_server_config: {cert_file: ., key_file: key.pem}", "cannot be read (Is a directory)"),
    ("tls_server_config: {cert_file: binary.pem, key_file: key.pem}", "cert_file` (or `cert`): expected PEM with"),
    ("tls_server_config: {cert_file: empty.pem, key_file: key.pem}", "cert_file` (or `cert`): expected PEM with"),
    ("tls_server_config: {cert_file: key.pem, key_file: cert.pem}", "cert_file` (or `cert`): expected PEM with"),
    ("tls_server_config: {cert_file: cert.pem, key_file: cert.pem}", "key_file` (or `key`): expected PEM with"),
    ("tls_server_config: {cert: x, key_file: key.pem}", "cert_file` (or `cert`): expected PEM with"),
    ("tls_server_config: {cert_file: broken.pem, key_file: key.pem}", "cert_file` (or `cert`): no certificate ("),
    (
        "tls_server_config: {cert_file: cert.pem, key_file: other.pem}",
        "other.pem cannot be used together (key values mismatch)",
    ),
    ("tls_server_config: {cert_file: cert.pem, key_file: locked.pem}", "expected a key without a passphrase"),
    (
        tls("min_version: TLS14"),
        "invalid `tls_server_config.min_version` 'TLS14': expected one of TLS10, TLS11, TLS12, TLS13",
    ),
    (tls("max_version: SSL30"), "invalid `tls_server_config.max_version` 'SSL30': expected one of"),
    (tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"), "cipher_suites` 'TLS_RSA_WITH_RC4_128_SHA': expected one of"),
    (tls("cipher_suites: [TLS_AES_128_GCM_SHA256]"), "which HTTP/2 needs, and exporter-toolkit does not start"),
    (tls("curve_preferences: [P256]"), "curve_preferences` 'P256': expected one of CurveP256, CurveP384"),
    (
        tls("client_auth_type: Maybe"),
        "client_auth_type` 'Maybe': expected one of NoClientCert, RequestClientCert",
    ),
    (tls("client_ca_file: ca.pem"), "`tls_server_config.client_ca_file` is given, but"),
    (
        "http_server_config: {headers: {X-Powered-By: me}}",
        "headers` 'X-Powered-By': expected one of Content-Security-",
    ),
    (
        "http_server_config: {headers: {X-Frame-Options: allow}}",
        "X-Frame-Options` 'allow': expected one of deny, same",
    ),
    ('http_server_config: {headers: {X-XSS-Protection: "a\\eb"}}', "expected no control character"),
    (
        "basic_auth_users: {prometheus: plain}",
        "invalid entry 'prometheus' in `basic_auth_users`: expected a bcrypt hash",
    ),
    ("basic_auth_users: {prometheus: }", "invalid entry 'prometheus' in `basic_auth_users`: expected a bcrypt hash"),
    (
        "rate_limit: {interval: 1 second, burst: 1}",
        "invalid duration '1 second' for `rate_limit.interval`: expected e.g. 100ms",
    ),
    ("rate_limit: {interval: '5', burst: 1}", "invalid duration '5' for `rate_limit.interval`: expected e.g. 100ms"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_an_invalid_key_is_refused(folder: Path, text: str, message: str) -> None:
    """The error names the file, the key, the value and what was expected."""
    path = written(folder, text)
    with pytest.raises(WebConfigError) as caught:
        WebConfig(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {prometheus: hunter2}",
        "basic_auth_users: {prometheus: [hunter2]}",
        "tls_server_config: {cert_file: cert.pem, key: hunter2}",
        'basic_auth_users: {prometheus: "hunter2}',
        "basic_auth_users:\n  prometheus: *hunter2 x",
    ],
)
def test_secrets_stay_out_of_errors(folder: Path, text: str) -> None:
    """No message repeats a password or a key."""
    with pytest.raises(WebConfigError) as caught:
        WebConfig(written(folder, text))

    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The error names its path."""
    with pytest.raises(WebConfigError, match=r"web.yml: cannot be read \(No such file or directory\)"):
        WebConfig(tmp_path / "web.yml")


WARNED = [
    (tls("min_version: TLS13, max_version: TLS12"), "every handshake will fail"),
    (tls("client_auth_type: RequireAnyClientCert"), "RequireAnyClientCert accepts any certificate, whoever made it"),
    (tls("client_auth_type: RequireAndVerifyClientCert"), "the system's authorities vouch for clients"),
    (tls("client_auth_type: RequireAndVerifyClientCert, client_ca_file: broken.pem"), "every client's will be refused"),
    (tls("client_allowed_sans: [a]"), "`tls_server_config.client_allowed_sans` has no effect"),
    (tls("cert: x"), "`tls_server_config.cert` has no effect beside `cert_file`"),
    ("rate_limit: {interval: 1s}", "`rate_limit.burst` is 0, which refuses every request"),
    (f"basic_auth_users: {{'a:b': {HASH}}}", "nobody can sign in as 'a:b'"),
]


@pytest.mark.parametrize(("text", "warning"), WARNED, ids=[warning[:40] for _, warning in WARNED])
def test_what_the_toolkit_takes_in_silence_is_warned_of(
    folder: Path, caplog: pytest.LogCaptureFixture, text: str, warning: str
) -> None:
    """What has no effect, or a bad one, is accepted as by the toolkit, and a warning says so."""
    WebConfig(written(folder, text))

    assert warning in caplog.text


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [
        ("a.example.org", True),
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("ops@example.org", True),
        ("spiffe://example.org/prometheus", True),
        ("b.example.org", False),
        ("A.EXAMPLE.ORG", False),
        ("x", False),
    ],
)
def test_allowed_names(allowed: str, admitted: bool) -> None:
    """DNS names, addresses, e-mail addresses and URIs of a certificate count, exactly as written; others do not."""
    names = [
        x509.DNSName("a.example.org"),
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.RFC822Name("ops@example.org"),
        x509.UniformResourceIdentifier("spiffe://example.org/prometheus"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])),
    ]

    assert matches_any(self_signed(names), ("other", allowed)) is admitted


def test_certificate_without_names_is_not_allowed() -> None:
    """Without alternative names none matches."""
    assert not matches_any(self_signed([]), ("a.example.org", ""))


def self_signed(names: list[x509.GeneralName]) -> x509.Certificate:
    key, nobody = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(nobody).issuer_name(nobody).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("100ms", 0.1), ("1m30s", 90.0), ("1.5h", 5400.0), ("0", None), ("0s", None), ("2us", 2e-6)],
)
def test_durations_are_gos(folder: Path, interval: str, seconds: float | None) -> None:
    """The interval of the rate limit is one of Go's durations; 0 is not a limit."""
    limit = WebConfig(written(folder, f"rate_limit: {{interval: {interval!r}, burst: 1}}"))._rules.limit

    assert (limit and limit._interval_seconds) == (seconds and pytest.approx(seconds))


def test_bucket_lets_a_burst_through_and_fills_again() -> None:
    """After a burst there is one more request every interval, up to the burst."""
    now = 0.0
    bucket = TokenBucket(interval_seconds=2, burst=2, clock=lambda: now)
    burst = [bucket.take() for _ in range(3)]
    now = 2.0
    later = [bucket.take() for _ in range(2)]
    now = 100.0
    much_later = [bucket.take() for _ in range(3)]

    assert (burst, later, much_later) == ([True, True, False], [True, False], [True, True, False])


@pytest.mark.parametrize(
    ("header", "credentials"),
    [
        ("Basic YTpi", (b"a", b"b")),
        ("basic  YTpi ", (b"a", b"b")),
        ("Basic YTpiOmM=", (b"a", b"b:c")),
        ("Basic Og==", (b"", b"")),
        ("Basic YQ==", None),
        ("Basic !", None),
        ("Basic Ä", None),
        ("Bearer YTpi", None),
        ("", None),
    ],
)
def test_authorization_header(header: str, credentials: tuple[bytes, bytes] | None) -> None:
    """Name and password are split at the first colon; anything else is invalid."""
    assert parse_basic(header) == credentials


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count the hashes computed: a list of the hashes compared with."""
    compared: list[bytes] = []
    check = bcrypt.checkpw

    def counting(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return check(password, hashed)

    monkeypatch.setattr(basic_auth.bcrypt, "checkpw", counting)
    return compared


def basic(credentials: bytes) -> str:
    return f"Basic {base64.b64encode(credentials).decode()}"


def users(password: bytes = b"secret") -> BasicAuthUsers:
    return BasicAuthUsers({"prometheus": bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()})


def test_right_password_is_hashed_once(compared: list[bytes]) -> None:
    """The outcome for a right password is remembered."""
    known = users()
    outcomes = [asyncio.run(known.check("Basic cHJvbWV0aGV1czpzZWNyZXQ=")) for _ in range(3)]

    assert (outcomes, len(compared)) == ([HTTPStatus.OK] * 3, 1)


def test_wrong_password_is_hashed_once(compared: list[bytes]) -> None:
    """The outcome for a wrong password is remembered too, also where it comes many times at once."""
    known = users()

    async def at_once() -> list[HTTPStatus]:
        return await asyncio.gather(*(known.check("Basic cHJvbWV0aGV1czp3cm9uZw==") for _ in range(8)))

    assert (asyncio.run(at_once()), len(compared)) == ([HTTPStatus.UNAUTHORIZED] * 8, 1)


@pytest.mark.parametrize(
    ("costs", "usual"), [((4,), 4), ((4, 4, 18), 4), ((4, 18), 4), ((5, 4, 4), 4), ((4, 5, 5), 5), ((4, 5, 6), 5)]
)
def test_unknown_user_costs_what_the_usual_one_costs(compared: list[bytes], costs: tuple[int, ...], usual: int) -> None:
    """Timing does not reveal whether a user exists; and one dear hash does not make every stranger dear."""
    known = BasicAuthUsers({str(number): HASH.replace("$04", f"${cost:02}") for number, cost in enumerate(costs)})
    outcome = asyncio.run(known.check("Basic bm9ib2R5OnNlY3JldA=="))

    assert outcome is HTTPStatus.UNAUTHORIZED
    assert [hashed[:7] for hashed in compared] == [f"$2b${usual:02}$".encode()]


def test_dear_user_keeps_few_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one user's hash is computed for ever, users of other lanes sign in."""
    checked, compare = threading.Event(), bcrypt.checkpw

    def slow(password: bytes, hashed: bytes) -> bool:
        if password == b"wrong":
            checked.wait()
        return compare(password, hashed)

    monkeypatch.setattr(basic_auth.bcrypt, "checkpw", slow)
    names = [f"user{number}" for number in range(40)]
    known = BasicAuthUsers(dict.fromkeys(names, bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()))

    async def others() -> int:
        dear = asyncio.create_task(known.check(basic(b"user0:wrong")))
        signing_in = [asyncio.create_task(known.check(basic(f"{name}:secret".encode()))) for name in names[1:]]
        for done in itertools.islice(asyncio.as_completed(signing_in), len(names) // 4):
            await done
        checked.set()
        await asyncio.gather(*signing_in)
        return (await dear).value

    assert asyncio.run(asyncio.wait_for(others(), 60)) == HTTPStatus.UNAUTHORIZED


def test_wrong_passwords_push_no_right_one_out(compared: list[bytes]) -> None:
    """A flood of wrong passwords costs the right one nothing, and its memory is bounded."""
    known = users()
    asyncio.run(known.check("Basic cHJvbWV0aGV1czpzZWNyZXQ="))
    for number in range(MOST_REMEMBERED + 20):
        known._remember(str(number).encode(), False)
    compared.clear()
    outcome = asyncio.run(known.check("Basic cHJvbWV0aGV1czpzZWNyZXQ="))

    assert (outcome, compared) == (HTTPStatus.OK, [])
    assert len(known._remembered[False]) == MOST_REMEMBERED


def test_too_many_waiting_passwords_are_refused() -> None:
    """Passwords that wait for bcrypt are limited: the next one gets 503."""
    known = users()

    async def flood() -> list[HTTPStatus]:
        headers = [basic(f"prometheus:{number}".encode()) for number in range(MOST_QUEUED + 1)]
        return await asyncio.gather(*(known.check(header) for header in headers))

    assert asyncio.run(flood()).count(HTTPStatus.SERVICE_UNAVAILABLE) == 1


def test_long_password_is_cut_as_bcrypt_does() -> None:
    """A password beyond bcrypt's 72 bytes is compared by its first 72, as other programs that make hashes do."""
    header = basic(b"prometheus:" + b"x" * 80)

    assert asyncio.run(users(b"x" * 72).check(header)) is HTTPStatus.OK


def test_rules_are_read_again_only_after_a_change(folder: Path) -> None:
    """Without a change nothing is read: the context stays the same object."""
    web = WebConfig(written(folder, tls("")))
    first = web.tls()

    assert web.tls() is first


def test_broken_file_keeps_the_old_rules(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken file changes nothing and is logged once."""
    web = WebConfig(written(folder, tls("")))
    first = web.tls()
    (folder / "key.pem").write_text("broken")

    assert [web.tls(), web.tls(), web.tls()] == [first] * 3
    assert caplog.text.count("the old web configuration stays") == 1


def test_rotation_in_two_steps(folder: Path, authority: trustme.CA) -> None:
    """A new certificate whose key comes later is taken up as soon as both are there."""
    web = WebConfig(written(folder, tls("")))
    first = web.tls()
    fresh = authority.issue_cert("localhost")
    fresh.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    between = web.tls()
    fresh.private_key_pem.write_to_path(folder / "key.pem")

    assert between is first
    assert web.tls() is not first


def test_file_named_before_it_exists(folder: Path, pems: dict[str, str]) -> None:
    """A file that the new configuration names and that comes later is waited for."""
    web = WebConfig(written(folder, tls("")))
    first = web.tls()
    written(folder, "tls_server_config: {cert_file: new.pem, key_file: key.pem}")
    between = web.tls()
    (folder / "new.pem").write_text(pems["cert"])

    assert between is first
    assert web.tls() is not first


def test_tls_is_not_switched_off_while_running(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that loses its TLS section while the server runs does not make passwords travel in the clear."""
    web = WebConfig(written(folder, tls("")))
    first = web.tls()
    written(folder, "{}")

    assert web.tls() is first
    assert "TLS cannot be switched on or off while running" in caplog.text
