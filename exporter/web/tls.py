"""The section `tls_server_config` of a web configuration file, and the SSLContext made from it.

Names are Go's, as in exporter-toolkit; what Python's ssl module cannot do is refused, never silently weakened.
"""

import contextlib
import ipaddress
import os
import ssl
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from msgspec import Struct

from exporter.errors import WebConfigError
from exporter.sections import Secret

T = TypeVar("T")

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

CLIENT_AUTH_TYPES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

UNVERIFIED_CLIENT_AUTH_TYPES = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
"""Go's policies that accept any certificate. Python's ssl verifies every certificate it asks for."""

CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""What Go's tls.CipherSuites() lists for TLS up to 1.2, with OpenSSL's names."""

TLS13_CIPHER_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Accepted and, as in Go, without effect: TLS 1.3 chooses among them by itself."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


class TlsServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section as written; paths are relative to the web configuration file's folder."""

    cert: str = ""
    key: Secret | None = None
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_auth_type: str = "NoClientCert"
    client_ca_file: str = ""
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()

    def files(self, folder: Path) -> list[Path]:
        """Return the files this section names."""
        return [folder / name for name in (self.cert_file, self.key_file, self.client_ca_file) if name]


def build_context(config: TlsServerConfig, folder: Path) -> ssl.SSLContext:
    """Return a new context for the server's side. Reads the files. Raises WebConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    _set_versions(context, config)
    _set_cipher_suites(context, config)
    _set_curves(context, config)
    _load_certificate(context, config, folder)
    _set_client_authentication(context, config, folder)
    return context


def certificate_expiry(config: TlsServerConfig, folder: Path) -> float:
    """Return when the server's own certificate expires, in Unix seconds. Reads its file. Raises WebConfigError."""
    pem = _read("cert", config.cert, config.cert_file, folder, "-----BEGIN CERTIFICATE-----")
    try:
        leaf = x509.load_pem_x509_certificates(pem.encode())[0]  # like OpenSSL: the first one is the server's
    except ValueError as error:
        raise WebConfigError(f"`tls_server_config.cert_file`: no certificate found ({error}): expected PEM") from error
    return leaf.not_valid_after_utc.timestamp()


def matches_any(certificate: Mapping[str, Any] | None, allowed: tuple[str, ...]) -> bool:
    """Tell whether a client's certificate, as from `getpeercert`, has one of the alternative names exactly."""
    names = {
        str(ipaddress.ip_address(value.strip())) if kind == "IP Address" else value
        for kind, value in (certificate or {}).get("subjectAltName", ())
        if kind in ("DNS", "email", "IP Address", "URI")
    }
    return not names.isdisjoint(allowed)


def _set_versions(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    lowest = one_of("tls_server_config.min_version", config.min_version, VERSIONS)
    highest = one_of("tls_server_config.max_version", config.max_version, VERSIONS)
    if lowest > highest:
        raise WebConfigError(
            f"invalid `tls_server_config.min_version` {config.min_version}: expected at most `max_version`, "
            f"{config.max_version}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 were asked for by name
        context.minimum_version = lowest
        context.maximum_version = highest


def _set_cipher_suites(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    known = CIPHER_SUITES | dict.fromkeys(TLS13_CIPHER_SUITES, "")
    where = "tls_server_config.cipher_suites"
    names = [name for suite in config.cipher_suites if (name := one_of(where, suite, known))]
    if names:
        context.set_ciphers(":".join(names))
    elif config.cipher_suites:  # all of them are of TLS 1.3: none is left for older versions
        if config.max_version != "TLS13":
            raise WebConfigError(f"`{where}` has suites of TLS 1.3 only, above `max_version` {config.max_version}")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if config.min_version in ("TLS10", "TLS11"):
        # OpenSSL 3 refuses the SHA-1 signatures of these versions at any other level.
        context.set_ciphers(":".join([*(names or ["DEFAULT"]), "@SECLEVEL=0"]))
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE


def _set_curves(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    names = [one_of("tls_server_config.curve_preferences", curve, CURVES) for curve in config.curve_preferences]
    if not names:
        return
    if hasattr(context, "set_groups"):  # Python 3.15
        context.set_groups(":".join(names))
    elif len(names) == 1 and names[0] != "X25519":
        context.set_ecdh_curve(names[0])
    else:
        raise WebConfigError(
            f"`tls_server_config.curve_preferences` is {list(config.curve_preferences)!r}: before Python 3.15 there "
            "can be one of CurveP256, CurveP384, CurveP521; leave the key out for OpenSSL's own order, X25519 first"
        )


def _load_certificate(context: ssl.SSLContext, config: TlsServerConfig, folder: Path) -> None:
    certificate = _read("cert", config.cert, config.cert_file, folder, "-----BEGIN CERTIFICATE-----")
    key = _read("key", config.key.reveal() if config.key else "", config.key_file, folder, "PRIVATE KEY-----")
    if "ENCRYPTED" in key:
        raise WebConfigError(
            "`tls_server_config.key_file` (or `key`) is encrypted: expected a key without a passphrase"
        )
    try:
        with _as_file(certificate) as certificate_path, _as_file(key) as key_path:
            context.load_cert_chain(certificate_path, key_path, password="")  # or OpenSSL would ask the terminal
    except ssl.SSLError as error:
        shown = (config.cert_file or "`cert`", config.key_file or "`key`")
        raise WebConfigError(
            f"`tls_server_config`: certificate {shown[0]} and key {shown[1]} cannot be used together "
            f"({error.reason or error}): expected PEM, and the key of this certificate"
        ) from error


def _set_client_authentication(context: ssl.SSLContext, config: TlsServerConfig, folder: Path) -> None:
    where = "tls_server_config.client_auth_type"
    if config.client_auth_type in UNVERIFIED_CLIENT_AUTH_TYPES:
        raise WebConfigError(
            f"unsupported `{where}` {config.client_auth_type!r}, which accepts any certificate: expected "
            "RequireAndVerifyClientCert or VerifyClientCertIfGiven"
        )
    mode = one_of(where, config.client_auth_type or "NoClientCert", CLIENT_AUTH_TYPES)
    has_ca = bool(config.client_ca or config.client_ca_file)
    if mode is ssl.CERT_NONE and has_ca:
        raise WebConfigError(f"`tls_server_config.client_ca_file` is given, but `{where}` asks for no certificate")
    if config.client_allowed_sans is not None and (mode is not ssl.CERT_REQUIRED or not config.client_allowed_sans):
        raise WebConfigError(
            f"`tls_server_config.client_allowed_sans` is {list(config.client_allowed_sans)!r} with `{where}` "
            f"{config.client_auth_type!r}: expected at least one name, and RequireAndVerifyClientCert"
        )
    if mode is ssl.CERT_NONE:
        return
    authorities = _read("client_ca", config.client_ca, config.client_ca_file, folder, "-----BEGIN CERTIFICATE-----")
    try:
        context.load_verify_locations(cadata=authorities)
    except ssl.SSLError as error:
        where = "`tls_server_config.client_ca_file` (or `client_ca`)"
        raise WebConfigError(f"{where} holds no usable certificate ({error.reason}): expected PEM") from error
    context.verify_mode = mode
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # like Go: an intermediate authority is enough as the anchor


def _read(name: str, inline: str, file_name: str, folder: Path, marker: str) -> str:
    """Return the PEM text of `name` or `name`_file."""
    where = f"tls_server_config.{name}_file"
    if bool(inline) == bool(file_name):
        given = "both" if inline else "neither"
        raise WebConfigError(f"`{where}` and `tls_server_config.{name}`: {given} given, expected one")
    if not inline:
        try:
            inline = (folder / file_name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise WebConfigError(
                f"`{where}`: {folder / file_name} cannot be read ({reason}): "
                f"expected a PEM file that user id {os.geteuid()} may read"
            ) from error
    if marker not in inline:
        raise WebConfigError(f"`{where if file_name else where.removesuffix('_file')}`: expected PEM with `{marker}`")
    return inline


@contextlib.contextmanager
def _as_file(pem: str) -> Iterator[str]:
    """Yield a path to a text, in memory, that only this process can open: `load_cert_chain` takes nothing else."""
    with open(os.memfd_create("pem", os.MFD_CLOEXEC), "w", encoding="utf-8") as file:
        file.write(pem)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def one_of(where: str, value: str, known: Mapping[str, T]) -> T:
    """Return what `known` holds for `value`. Raises WebConfigError that lists the valid values."""
    if value not in known:
        raise WebConfigError(f"invalid `{where}` {value!r}: expected one of {', '.join(known)}")
    return known[value]
