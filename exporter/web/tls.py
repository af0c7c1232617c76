"""The section `tls_server_config` of a web configuration file, and the OpenSSL context made from it.

Names and outcomes are those of Go's crypto/tls, as in exporter-toolkit. pyOpenSSL, because Python's ssl module can
neither take a certificate that it cannot verify nor, before Python 3.15, more than one curve.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags

from exporter.errors import UnreadableError, WebConfigError
from exporter.files import AUTHORITY_BYTES, SECRET_BYTES, read_text
from exporter.sections import Secret

logger = logging.getLogger(__name__)

T = TypeVar("T")

VERSIONS = {
    "TLS10": SSL.TLS1_VERSION,
    "TLS11": SSL.TLS1_1_VERSION,
    "TLS12": SSL.TLS1_2_VERSION,
    "TLS13": SSL.TLS1_3_VERSION,
}

_ASK, _REQUIRE = SSL.VERIFY_PEER, SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT

CLIENT_AUTH_TYPES = {
    "NoClientCert": (SSL.VERIFY_NONE, False),
    "RequestClientCert": (_ASK, False),
    "RequireAnyClientCert": (_REQUIRE, False),
    "RequireClientCert": (_REQUIRE, False),
    "VerifyClientCertIfGiven": (_ASK, True),
    "RequireAndVerifyClientCert": (_REQUIRE, True),
}
"""Go's policies: what a client is asked for, and whether its certificate is verified."""

CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    # Accepted and, as in Go, without effect: TLS 1.3 chooses among them by itself.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""What Go's tls.CipherSuites() lists, with OpenSSL's names; the best come first."""

HTTP2_SUITES = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
"""Of which HTTP/2 over TLS 1.2 needs one: without it Go's server does not start unless `http2` is false."""

CURVES = {"CurveP256": "P-256", "CurveP384": "P-384", "CurveP521": "P-521", "X25519": "X25519"}

_DEFAULT_CIPHERS = [name for name in CIPHER_SUITES.values() if name]
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN ([A-Z0-9]+ )?PRIVATE KEY-----.+?-----END \1?PRIVATE KEY-----", re.DOTALL)


class TlsServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section as written; paths are relative to the web configuration file's folder."""

    cert: str = ""
    key: Secret | None = None
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_auth_type: str = ""
    client_ca_file: str = ""
    client_allowed_sans: tuple[str | None, ...] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str | None, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str | None, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether the server speaks TLS: as with the toolkit, where a certificate or a policy for clients is named."""
        named = (self.cert, self.cert_file, self.key_file, self.client_ca, self.client_ca_file, self.client_auth_type)
        return any(named) or bool(self.key and self.key.reveal())

    @property
    def verifies(self) -> bool:
        """Whether every client proves by a certificate who it is."""
        return self.client_auth_type == "RequireAndVerifyClientCert"

    def files(self, folder: Path) -> list[Path]:
        """Return the files this section names."""
        return [folder / name for name in (self.cert_file, self.key_file, self.client_ca_file) if name]


def check(config: TlsServerConfig) -> None:
    """Raise WebConfigError where a name of the section is unknown, also without TLS."""
    for key in ("min_version", "max_version"):
        one_of(f"tls_server_config.{key}", getattr(config, key), VERSIONS)
    for where, names, known in (
        ("tls_server_config.cipher_suites", config.cipher_suites, CIPHER_SUITES),
        ("tls_server_config.curve_preferences", config.curve_preferences, CURVES),
    ):
        for name in names:
            one_of(where, name or "", {**known, "": ""} if name is None else known)


def build_context(config: TlsServerConfig, folder: Path, *, http2: bool = True) -> SSL.Context:
    """Return a new context for the server's side. Reads the files. Raises WebConfigError.

    `http2` is what the file says of it: with HTTP/2 Go's server refuses some cipher suites.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    # No resumption: a client is verified by the rules in force, and a scraper keeps its connection anyway.
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(_select_protocol)
    _set_versions(context, config)
    _set_cipher_suites(context, config, http2)
    _set_curves(context, config)
    _load_certificate(context, config, folder)
    _set_client_authentication(context, config, folder)
    return context


def certificate_expiry(config: TlsServerConfig, folder: Path) -> float:
    """Return when the server's own certificate expires, in Unix seconds. Reads its file. Raises WebConfigError."""
    return _certificates(config, folder)[0].not_valid_after_utc.timestamp()


def matches_any(certificate: x509.Certificate, allowed: Sequence[str | None]) -> bool:
    """Tell whether a client's certificate has one of the alternative names exactly."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress)
    return any(str(name) in allowed for kind in kinds for name in names.get_values_for_type(kind))


def _select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """Choose HTTP/1.1, or end the handshake as Go does. An exception sends the alert no_application_protocol."""
    if b"http/1.1" not in offered:
        raise SSL.Error("no common protocol: this server speaks http/1.1")
    return b"http/1.1"


def _set_versions(context: SSL.Context, config: TlsServerConfig) -> None:
    lowest, highest = VERSIONS[config.min_version], VERSIONS[config.max_version]
    if lowest > highest:
        logger.warning(
            "`tls_server_config.min_version` %s is above `max_version` %s: every handshake will fail",
            config.min_version,
            config.max_version,
        )
    context.set_min_proto_version(lowest)
    context.set_max_proto_version(highest)


def _set_cipher_suites(context: SSL.Context, config: TlsServerConfig, http2: bool) -> None:
    suites = config.cipher_suites
    if suites and http2 and config.min_version != "TLS13" and not set(suites) & set(HTTP2_SUITES):
        raise WebConfigError(
            f"`tls_server_config.cipher_suites` has none of {' and '.join(HTTP2_SUITES)}, which HTTP/2 needs, and "
            "exporter-toolkit does not start: expected one of them, `min_version: TLS13`, or "
            "`http_server_config: {http2: false}`"
        )
    names = [name for suite in suites if suite and (name := CIPHER_SUITES[suite])]
    if suites and not names and config.min_version != "TLS13":
        context.set_min_proto_version(SSL.TLS1_3_VERSION)  # nothing is left for older versions
    # OpenSSL 3 refuses the SHA-1 signatures of TLS 1.0 and 1.1 at any other level.
    level = ["@SECLEVEL=0"] if config.min_version in ("TLS10", "TLS11") else []
    context.set_cipher_list(":".join([*(names or _DEFAULT_CIPHERS), *level]).encode())
    if config.prefer_server_cipher_suites:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)


def _set_curves(context: SSL.Context, config: TlsServerConfig) -> None:
    names = [CURVES[curve] for curve in config.curve_preferences if curve]
    if not names:
        return
    # pyOpenSSL has no public method for more than one curve.
    set_curves = getattr(SSL._lib, "SSL_CTX_set1_curves_list", lambda context, names: 0)  # type: ignore[attr-defined]
    if set_curves(context._context, ":".join(names).encode()) != 1:
        raise WebConfigError("`tls_server_config.curve_preferences` cannot be set with this version of pyOpenSSL")


def _certificates(config: TlsServerConfig, folder: Path) -> list[x509.Certificate]:
    pem = _read("cert", config.cert, config.cert_file, folder)
    try:
        found = [x509.load_pem_x509_certificate(text.encode()) for text in _blocks(_CERTIFICATE, pem)]
    except ValueError as error:
        raise WebConfigError(f"`tls_server_config.cert_file` (or `cert`): no certificate ({error})") from error
    if not found:
        raise WebConfigError(
            "`tls_server_config.cert_file` (or `cert`): expected PEM with `-----BEGIN CERTIFICATE-----`"
        )
    return found


def _load_certificate(context: SSL.Context, config: TlsServerConfig, folder: Path) -> None:
    leaf, *chain = _certificates(config, folder)
    pem = _read("key", config.key.reveal() if config.key else "", config.key_file, folder)
    where = "`tls_server_config.key_file` (or `key`)"
    if "ENCRYPTED" in pem:
        raise WebConfigError(f"{where} is encrypted: expected a key without a passphrase")
    if not (keys := _blocks(_KEY, pem)):
        raise WebConfigError(f"{where}: expected PEM with `PRIVATE KEY-----`")
    try:
        context.use_certificate(leaf)
        for above in chain:
            context.add_extra_chain_cert(above)
        context.use_privatekey(load_pem_private_key(keys[0].encode(), None))  # type: ignore[arg-type]  # or TypeError
        context.check_privatekey()
    except (SSL.Error, ValueError, TypeError) as error:
        shown = (config.cert_file or "`cert`", config.key_file or "`key`")
        raise WebConfigError(
            f"`tls_server_config`: certificate {shown[0]} and key {shown[1]} cannot be used together "
            f"({reason(error)}): expected PEM, and the key of this certificate"
        ) from error


def _set_client_authentication(context: SSL.Context, config: TlsServerConfig, folder: Path) -> None:
    where = "tls_server_config.client_auth_type"
    mode, verified = one_of(where, config.client_auth_type or "NoClientCert", CLIENT_AUTH_TYPES)
    has_authority = bool(config.client_ca or config.client_ca_file)
    if mode is SSL.VERIFY_NONE:
        if has_authority:
            raise WebConfigError(f"`tls_server_config.client_ca_file` is given, but `{where}` asks for no certificate")
        if config.client_allowed_sans is not None:
            logger.warning("`tls_server_config.client_allowed_sans` has no effect: `%s` asks for no certificate", where)
        return
    if not verified:
        logger.warning("`%s` %s accepts any certificate, whoever made it", where, config.client_auth_type)
    elif has_authority:
        _trust(context, _read("client_ca", config.client_ca, config.client_ca_file, folder))
    else:
        logger.warning("`tls_server_config.client_ca_file` is not given: the system's authorities vouch for clients")
        context.set_default_verify_paths()
    allowed = config.client_allowed_sans

    def verify(connection: SSL.Connection, certificate: X509, number: int, depth: int, valid: int) -> bool:
        if verified and not valid:
            return False
        return depth > 0 or allowed is None or matches_any(certificate.to_cryptography(), allowed)

    context.set_verify(mode if allowed is None else _REQUIRE, verify)


def _trust(context: SSL.Context, pem: str) -> None:
    """Trust the certificates in a text; what is not a certificate is left out, as in Go."""
    store = context.get_cert_store()
    assert store is not None  # noqa: S101 - a context has one
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN)  # like Go: an intermediate authority is enough as the anchor
    trusted = 0
    for text in _blocks(_CERTIFICATE, pem):
        try:
            store.add_cert(X509.from_cryptography(x509.load_pem_x509_certificate(text.encode())))
            trusted += 1
        except ValueError:
            continue
    if not trusted:
        logger.warning("`tls_server_config.client_ca_file` holds no certificate: every client's will be refused")


def reason(error: Exception) -> str:
    """Return the text of OpenSSL's error, which it wraps into lists."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    return str(error) or type(error).__name__


def _blocks(pattern: re.Pattern[str], pem: str) -> list[str]:
    return [found.group() for found in pattern.finditer(pem)]


def _read(name: str, inline: str, file_name: str, folder: Path) -> str:
    """Return the PEM text of `name`_file, or else of `name`."""
    where = f"tls_server_config.{name}_file"
    if not file_name:
        if not inline:
            raise WebConfigError(f"`{where}` and `tls_server_config.{name}`: neither given, expected one")
        return inline
    if inline:
        logger.warning("`tls_server_config.%s` has no effect beside `%s_file`", name, name)
    try:
        return read_text(folder / file_name, AUTHORITY_BYTES if name == "client_ca" else SECRET_BYTES, "replace")
    except UnreadableError as error:
        raise WebConfigError(
            f"`{where}`: {folder / file_name} cannot be read ({error}): "
            f"expected a PEM file that user id {os.geteuid()} may read"
        ) from error


def one_of(where: str, value: str, known: Mapping[str, T]) -> T:
    """Return what `known` holds for `value`. Raises WebConfigError that lists the valid values."""
    if value not in known:
        raise WebConfigError(f"invalid `{where}` {value!r}: expected one of {', '.join(known)}")
    return known[value]
