"""What exporter-toolkit 0.20 does with a web configuration file, as a table: the file, the client, the outcome.

Written down from its documentation and source, and run against it: with a program that serves with the toolkit,

    python -m tests.exposition.web_config_cases PROGRAM

starts `PROGRAM ADDRESS WEB_CONFIG_FILE` for every case and prints what differs from the table.
"""

import base64
import contextlib
import http.client
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import trustme

REFUSED, NO_TLS, OK = "does not start", "handshake refused", "200"
"""Outcomes; others are the status, and the headers that a case asks for."""

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
SIGNED_IN = (("prometheus", "secret"),)


@dataclass(frozen=True)
class Client:
    """How a case's client connects and what it asks."""

    tls: bool = False
    version: str = ""
    ciphers: str = ""
    curve: str = ""
    protocols: tuple[str, ...] = ()
    certificate: str = ""
    sign_in: tuple[tuple[str, str], ...] = ()
    headers: tuple[str, ...] = ()
    requests: int = 1


@dataclass(frozen=True)
class Case:
    """A file, what the client sees, and what it sees after the file was replaced by `then`."""

    name: str
    file: str
    seen: str
    client: Client = Client()
    then: str = ""
    seen_then: str = ""


TLS = Client(tls=True)


def tls(keys: str = "", more: str = "") -> str:
    """Return a file with a certificate and these keys in its section."""
    return f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem, {keys}}}\n{more}"


def rsa(keys: str, more: str = "") -> str:
    """Return as `tls`, with an RSA key."""
    return f"tls_server_config: {{cert_file: rsa_cert.pem, key_file: rsa_key.pem, {keys}}}\n{more}"


def header(value: str, name: str = "X-XSS-Protection") -> str:
    """Return a file with one header."""
    return f"http_server_config: {{headers: {{{name}: {value}}}}}\n"


def user(hashed: str, name: str = "prometheus") -> str:
    """Return a file with one user."""
    return f"basic_auth_users: {{{name}: '{hashed}'}}\n"


def with_certificate(name: str) -> Client:
    """Return a client with a certificate."""
    return Client(tls=True, certificate=name)


XSS = Client(headers=("X-XSS-Protection",))
THREE = Client(requests=3)
SIGNS_IN = Client(sign_in=SIGNED_IN)
ANY, GIVEN, VERIFIED = (f"client_auth_type: {name}" for name in
                        ("RequireAnyClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"))  # fmt: skip
CA = "client_ca_file: ca.pem"
AES128, AES256 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
CBC = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
NO_HTTP2 = "http_server_config: {http2: false}"

FILES = [
    Case("empty", "", OK),
    Case("comment", "# nothing\n", OK),
    Case("null", "~", OK),
    Case("empty mapping", "{}", OK),
    Case("list", "- a", REFUSED),
    Case("number", "5", REFUSED),
    Case("not YAML", "tls_server_config: [", REFUSED),
    Case("tab", "rate_limit:\n\tburst: 1", REFUSED),
    Case("byte order mark", "\ufeffrate_limit: {}", OK),
    Case("unknown section", "tls_config: {}", REFUSED),
    Case("section in capitals", "Rate_limit: {}", REFUSED),
    Case("unknown key of TLS", tls("cert_fil: x"), REFUSED),
    Case("unknown key of HTTP", "http_server_config: {http3: true}", REFUSED),
    Case("unknown key of the limit", "rate_limit: {rate: 1}", REFUSED),
    Case("section twice", "rate_limit: {}\nrate_limit: {}", REFUSED),
    Case("user twice", f"basic_auth_users: {{a: '{HASH}', a: '{HASH}'}}", REFUSED),
    Case("header twice", "http_server_config: {headers: {X-XSS-Protection: 1, X-XSS-Protection: 2}}", REFUSED),
    Case("sections without a value", "rate_limit:\nhttp_server_config:\nbasic_auth_users:\ntls_server_config:\n", OK),
    Case("section that is a text", "tls_server_config: ''", REFUSED),
    Case("section that is a list", "tls_server_config: []", REFUSED),
    Case("users that are a list", "basic_auth_users: [a]", REFUSED),
    Case("headers that are a list", "http_server_config: {headers: []}", REFUSED),
    Case("two documents", "rate_limit: {}\n---\nnonsense: [\n", OK),
    Case("second document would limit", "{}\n---\nrate_limit: {interval: 1h, burst: 1}\n", "200 200 200", THREE),
    Case("first document limits", "rate_limit: {interval: 1h, burst: 1}\n---\n{}\n", "200 429 429", THREE),
    Case("after the end of the document", "{}\n...\nnonsense: [", OK),
    Case("alias", "http_server_config: {headers: {X-XSS-Protection: &x 1, Content-Security-Policy: *x}}",
         "200 X-XSS-Protection='1' Content-Security-Policy='1'",
         Client(headers=("X-XSS-Protection", "Content-Security-Policy"))),
    Case("merge", "http_server_config:\n  headers:\n    <<: {X-XSS-Protection: 1}\n", "200 X-XSS-Protection='1'", XSS),
]  # fmt: skip

HEADERS = [
    Case("a number", header("1"), "200 X-XSS-Protection='1'", XSS),
    Case("a number as written", header("1.50"), "200 X-XSS-Protection='1.50'", XSS),
    Case("a hexadecimal number", header("0x10"), "200 X-XSS-Protection='0x10'", XSS),
    Case("a truth value", header("yes"), "200 X-XSS-Protection='yes'", XSS),
    Case("a date", header("2001-01-01"), "200 X-XSS-Protection='2001-01-01'", XSS),
    Case("a text", header("'1; mode=block'"), "200 X-XSS-Protection='1; mode=block'", XSS),
    Case("blanks around", header("' a '"), "200 X-XSS-Protection='a'", XSS),
    Case("two lines", header('"a\\nb"'), "200 X-XSS-Protection='a b'", XSS),
    Case("UTF-8", header("é"), "200 X-XSS-Protection='Ã©'", XSS),
    Case("no value", header(""), "200 X-XSS-Protection=''", XSS),
    Case("null", header("null"), "200 X-XSS-Protection=''", XSS),
    Case("empty", header("''"), "200 X-XSS-Protection=''", XSS),
    Case("a list", header("[1]"), REFUSED),
    Case("no headers", "http_server_config: {headers: }", OK),
    Case("a header of one's own", header("me", "X-Powered-By"), REFUSED),
    Case("name in small letters", header("1", "x-xss-protection"), REFUSED),
    Case("framing denied", header("deny", "X-Frame-Options"), "200 X-Frame-Options='deny'",
         Client(headers=("X-Frame-Options",))),
    Case("framing by the same origin", header("sameorigin", "X-Frame-Options"), "200 X-Frame-Options='sameorigin'",
         Client(headers=("X-Frame-Options",))),
    Case("framing in capitals", header("DENY", "X-Frame-Options"), REFUSED),
    Case("framing allowed", header("allow", "X-Frame-Options"), REFUSED),
    Case("framing without a value", header("", "X-Frame-Options"), REFUSED),
    Case("framing empty", header("''", "X-Frame-Options"), REFUSED),
    Case("sniffing", header("nosniff", "X-Content-Type-Options"), "200 X-Content-Type-Options='nosniff'",
         Client(headers=("X-Content-Type-Options",))),
    Case("another sniffing", header("sniff", "X-Content-Type-Options"), REFUSED),
    Case("transport security", header("max-age=1", "Strict-Transport-Security"),
         "200 Strict-Transport-Security='max-age=1'", Client(headers=("Strict-Transport-Security",))),
    Case("headers of refusals", header("1") + user(HASH), "401 X-XSS-Protection='1'", XSS),
    Case("http2 as a text", "http_server_config: {http2: 'true'}", REFUSED),
    Case("http2 as a number", "http_server_config: {http2: 1}", REFUSED),
    Case("http2: yes", "http_server_config: {http2: yes}", OK),
    Case("http2: y", "http_server_config: {http2: y}", OK),
    Case("http2: off", "http_server_config: {http2: off}", OK),
    Case("http2 without a value", "http_server_config: {http2: }", OK),
]  # fmt: skip


def limit(interval: str, burst: str = "1", seen: str = "200 429 429") -> Case:
    """Return a case of a rate limit and three requests."""
    return Case(f"{interval or 'no interval'}, {burst or 'no burst'}",
                f"rate_limit: {{interval: {interval}, burst: {burst}}}", seen, THREE)  # fmt: skip


FREE = "200 200 200"
LIMITS = [
    limit("1h"),
    limit("1h", "2", "200 200 429"),
    limit("1h", "0", "429 429 429"),
    limit("1h", "", "429 429 429"),
    limit("1h", "-1", "429 429 429"),
    limit("1h", "1.0"),
    limit("1h", "'1'", REFUSED),
    limit("1h", "x", REFUSED),
    limit("1h", "0x2", "200 200 429"),
    limit("1h", "010", FREE),
    limit("1h", "1_0", FREE),
    limit("1h", "99999999999999999999", REFUSED),
    limit("1000s"),
    limit("1h30m"),
    limit("1.5h"),
    limit(".5h"),
    limit("+1h"),
    limit("3600000000µs"),
    limit("3600000000000"),
    limit("1e13"),
    limit("5", "1", FREE),
    limit("1.5", "1", FREE),
    limit("-5", "0", FREE),
    limit("-1s", "0", FREE),
    limit("0", "0", FREE),
    limit("0s", "0", FREE),
    limit("'0'", "0", FREE),
    limit("", "", FREE),
    limit("'5'", "1", REFUSED),
    limit("''", "1", REFUSED),
    limit("1 s", "1", REFUSED),
    limit("1d", "1", REFUSED),
    limit("1h30", "1", REFUSED),
    limit("1:30", "1", REFUSED),
    limit("true", "1", REFUSED),
    limit("9999999h", "1", REFUSED),
    limit("[1s]", "1", REFUSED),
    Case("no interval, a burst", "rate_limit: {burst: 1}", FREE, THREE),
    Case("before users", "rate_limit: {interval: 1h, burst: 1}\n" + user(HASH), "401 429 429", THREE),
]

USERS = [
    Case("right", user(HASH), "200", SIGNS_IN),
    Case("wrong", user(HASH), "401", Client(sign_in=(("prometheus", "wrong"),))),
    Case("unknown", user(HASH), "401", Client(sign_in=(("nobody", "secret"),))),
    Case("name in capitals", user(HASH), "401", Client(sign_in=(("Prometheus", "secret"),))),
    Case("none given", user(HASH), "401"),
    Case("no users", "basic_auth_users: {}", OK),
    Case("plain password", user("secret"), REFUSED),
    Case("no value", "basic_auth_users: {prometheus: }", REFUSED),
    Case("cost 3", user(HASH.replace("$04", "$03")), REFUSED),
    Case("cost 32", user(HASH.replace("$04", "$32")), REFUSED),
    Case("cost 31", user(HASH.replace("$04", "$31")), "401"),
    Case("cost of one digit", user(HASH.replace("$04", "$4")), REFUSED),
    Case("cost that is not a number", user(HASH.replace("$04", "$xx")), REFUSED),
    *(Case(f"version {version}", user(HASH.replace("$2b", version)), "200", SIGNS_IN)
      for version in ("$2a", "$2y", "$2x", "$2", "$1a")),
    Case("version 3", user(HASH.replace("$2b", "$3b")), REFUSED),
    Case("hash too short", user(HASH[:58]), REFUSED),
    Case("hash cut", user(HASH[:59]), "401", SIGNS_IN),
    Case("hash too long", user(HASH + "x"), "200", SIGNS_IN),
    Case("invalid character in the hash", user(HASH[:20] + "!" + HASH[21:]), "401", SIGNS_IN),
    Case("name is a number", user(HASH, "5"), "200", Client(sign_in=(("5", "secret"),))),
    Case("name with a colon", user(HASH, "'a:b'"), "401", Client(sign_in=(("a:b", "secret"),))),
    Case("name is empty", user(HASH, "''"), "200", Client(sign_in=(("", "secret"),))),
    Case("one is added", user(HASH), "401", Client(sign_in=(("new", "secret"),)), user(HASH, "new"), "200"),
    Case("one is removed", user(HASH), "200", SIGNS_IN, user(HASH, "new"), "401"),
    Case("all are removed", user(HASH), "401", Client(), "{}", "200"),
    Case("a header is added", "{}", "200 X-XSS-Protection=''", XSS, header("1"), "200 X-XSS-Protection='1'"),
]  # fmt: skip

CERTIFICATES = [
    Case("TLS", tls(), OK, TLS),
    Case("plain HTTP to TLS", tls(), "400", Client()),
    Case("TLS to plain HTTP", "{}", NO_TLS, TLS),
    Case("inline", "INLINE", OK, TLS),
    Case("file before inline", tls("cert: nonsense, key: nonsense"), OK, TLS),
    Case("no certificate", "tls_server_config: {key_file: key.pem}", REFUSED),
    Case("no key", "tls_server_config: {cert_file: cert.pem}", REFUSED),
    Case("both empty", "tls_server_config: {cert_file: '', key_file: ''}", OK),
    Case("certificate missing", "tls_server_config: {cert_file: gone.pem, key_file: key.pem}", REFUSED),
    Case("key missing", "tls_server_config: {cert_file: cert.pem, key_file: gone.pem}", REFUSED),
    Case("a folder", "tls_server_config: {cert_file: ., key_file: key.pem}", REFUSED),
    Case("nonsense", "tls_server_config: {cert_file: broken.pem, key_file: key.pem}", REFUSED),
    Case("key of another", "tls_server_config: {cert_file: cert.pem, key_file: rsa_key.pem}", REFUSED),
    Case("swapped", "tls_server_config: {cert_file: key.pem, key_file: cert.pem}", REFUSED),
    Case("both in one file", "tls_server_config: {cert_file: both.pem, key_file: both.pem}", OK, TLS),
    Case("only versions", "tls_server_config: {min_version: TLS13}", OK),
    Case("only names of clients", "tls_server_config: {client_allowed_sans: [a]}", OK),
    Case("only a policy", "tls_server_config: {client_auth_type: NoClientCert}", REFUSED),
    Case("only an authority", "tls_server_config: {client_ca_file: ca.pem}", REFUSED),
    Case("certificate renewed", tls(), OK, TLS, rsa(""), OK),
]

VERSIONS = [
    Case("TLS 1.1 by default", tls(), NO_TLS, Client(tls=True, version="TLSv1_1")),
    Case("TLS 1.2 by default", tls(), OK, Client(tls=True, version="TLSv1_2")),
    Case("TLS 1.2 below the lowest", tls("min_version: TLS13"), NO_TLS, Client(tls=True, version="TLSv1_2")),
    Case("TLS 1.3 above the highest", tls("max_version: TLS12"), NO_TLS, Client(tls=True, version="TLSv1_3")),
    Case("TLS 1.0 asked for", tls("min_version: TLS10"), OK, Client(tls=True, version="TLSv1")),
    Case("TLS 1.1 asked for", tls("min_version: TLS11"), OK, Client(tls=True, version="TLSv1_1")),
    Case("TLS 1.0 below TLS 1.1", tls("min_version: TLS11"), NO_TLS, Client(tls=True, version="TLSv1")),
    Case("lowest above highest", tls("min_version: TLS13, max_version: TLS12"), NO_TLS, TLS),
    Case("unknown version", tls("min_version: TLS14"), REFUSED),
    Case("version as a number", tls("min_version: 1.2"), REFUSED),
    Case("SSL", tls("max_version: SSL30"), REFUSED),
    Case("version without a value", tls("min_version: "), OK, TLS),
    Case("empty version", tls("min_version: ''"), REFUSED),
    Case("unknown version without TLS", "tls_server_config: {min_version: TLS14}", REFUSED),
    Case("lowest raised later", tls(), OK, Client(tls=True, version="TLSv1_2"), tls("min_version: TLS13"), NO_TLS),
]


def asks(suites: str = "", curve: str = "", version: str = "TLSv1_2") -> Client:
    """Return a client of TLS 1.2 with these suites of OpenSSL's names, or curve."""
    return Client(tls=True, version=version, ciphers=suites, curve=curve)


SUITES = [
    Case("the one suite", rsa(f"cipher_suites: [{AES128}]"), OK, asks("ECDHE-RSA-AES128-GCM-SHA256")),
    Case("no common suite", rsa(f"cipher_suites: [{AES128}]"), NO_TLS, asks("ECDHE-RSA-AES256-GCM-SHA384")),
    Case("a suite of another key", rsa(f"cipher_suites: [{AES128}]"), NO_TLS, asks("ECDHE-ECDSA-AES128-GCM-SHA256")),
    Case("several suites", rsa(f"cipher_suites: [{AES256}, {AES128}]"), OK, asks("ECDHE-RSA-AES256-GCM-SHA384")),
    Case("CBC by default", rsa(""), OK, asks("ECDHE-RSA-AES128-SHA")),
    Case("RSA key exchange by default", rsa(""), NO_TLS, asks("AES128-GCM-SHA256")),
    Case("unknown suite", rsa("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"), REFUSED),
    Case("suite in small letters", rsa(f"cipher_suites: [{AES128.lower()}]"), REFUSED),
    Case("OpenSSL's name", rsa("cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]"), REFUSED),
    Case("suites as a text", rsa(f"cipher_suites: {AES128}"), REFUSED),
    Case("no suites", rsa("cipher_suites: []"), OK, asks("ECDHE-RSA-AES256-GCM-SHA384")),
    Case("unknown suite without TLS", "tls_server_config: {cipher_suites: [x]}", REFUSED),
    Case("only suites of TLS 1.3", rsa("cipher_suites: [TLS_AES_128_GCM_SHA256]"), REFUSED),
    Case("only suites of TLS 1.3, which is the lowest",
         rsa("min_version: TLS13, cipher_suites: [TLS_AES_128_GCM_SHA256]"), OK, TLS),
    Case("only suites of TLS 1.3 without HTTP/2", rsa("cipher_suites: [TLS_AES_128_GCM_SHA256]", NO_HTTP2), OK, TLS),
    Case("only suites of TLS 1.3 without HTTP/2, older client",
         rsa("cipher_suites: [TLS_AES_128_GCM_SHA256]", NO_HTTP2), NO_TLS, asks()),
    Case("suites that HTTP/2 forbids", rsa(f"cipher_suites: [{CBC}]"), REFUSED),
    Case("suites that HTTP/2 forbids, without it", rsa(f"cipher_suites: [{CBC}]", NO_HTTP2), OK,
         asks("ECDHE-RSA-AES128-SHA")),
    Case("without the suite that HTTP/2 needs", rsa(f"cipher_suites: [{AES256}]"), REFUSED),
    Case("without it and without HTTP/2", rsa(f"cipher_suites: [{AES256}]", NO_HTTP2), OK, TLS),
    Case("forbidden and needed suites", rsa(f"cipher_suites: [{CBC}, {AES128}]"), OK, asks("ECDHE-RSA-AES128-SHA")),
    Case("suites of HTTP/2, highest TLS 1.2", rsa(f"max_version: TLS12, cipher_suites: [{AES128}]"), OK, TLS),
    Case("client's preference", rsa("prefer_server_cipher_suites: false"), OK, TLS),
    Case("preference as a text", rsa("prefer_server_cipher_suites: 'false'"), REFUSED),
    Case("one curve", tls("curve_preferences: [CurveP384]"), OK, asks(curve="secp384r1", version="TLSv1_3")),
    Case("no common curve", tls("curve_preferences: [CurveP384]"), NO_TLS, asks(curve="prime256v1", version="TLSv1_3")),
    *(Case(f"several curves, {curve}", tls("curve_preferences: [X25519, CurveP384, CurveP521]"), seen,
           asks(curve=curve, version="TLSv1_3"))
      for curve, seen in (("X25519", OK), ("secp384r1", OK), ("secp521r1", OK), ("prime256v1", NO_TLS))),
    Case("several curves, TLS 1.2", rsa("curve_preferences: [CurveP521, CurveP256]"), OK, asks(curve="prime256v1")),
    Case("no common curve, TLS 1.2", rsa("curve_preferences: [CurveP521, X25519]"), NO_TLS, asks(curve="prime256v1")),
    Case("X25519 only", tls("curve_preferences: [X25519]"), NO_TLS, asks(curve="prime256v1", version="TLSv1_3")),
    Case("unknown curve", tls("curve_preferences: [P256]"), REFUSED),
    Case("curves as a text", tls("curve_preferences: CurveP256"), REFUSED),
    Case("no curves", tls("curve_preferences: []"), OK, TLS),
]  # fmt: skip

SANS = "client_allowed_sans: [prometheus.example.org, 10.1.2.3, ops@example.org]"
CLIENTS = [
    *(Case(f"{keys} and {who or 'no'} certificate", tls(keys), seen, with_certificate(who))
      for keys, known, stranger, none in (
          ("client_auth_type: NoClientCert", OK, OK, OK),
          ("client_auth_type: ''", OK, OK, OK),
          ("client_auth_type: RequestClientCert", OK, OK, OK),
          ("client_auth_type: RequireClientCert", OK, OK, NO_TLS),
          (ANY, OK, OK, NO_TLS),
          (f"{ANY}, {CA}", OK, OK, NO_TLS),
          (f"{GIVEN}, {CA}", OK, NO_TLS, OK),
          (GIVEN, NO_TLS, NO_TLS, OK),
          (f"{VERIFIED}, {CA}", OK, NO_TLS, NO_TLS),
          (VERIFIED, NO_TLS, NO_TLS, NO_TLS),
          (f"{VERIFIED}, client_ca_file: broken.pem", NO_TLS, NO_TLS, NO_TLS),
          (f"{GIVEN}, client_ca_file: broken.pem", NO_TLS, NO_TLS, OK),
          (f"{VERIFIED}, {CA}, client_ca: nonsense", OK, NO_TLS, NO_TLS),
          (f"{VERIFIED}, {CA}, {SANS}", OK, NO_TLS, NO_TLS),
          (f"{VERIFIED}, {CA}, client_allowed_sans: [other.example.org]", NO_TLS, NO_TLS, NO_TLS),
          (f"{VERIFIED}, {CA}, client_allowed_sans: []", NO_TLS, NO_TLS, NO_TLS),
          (f"{VERIFIED}, {CA}, client_allowed_sans: ", OK, NO_TLS, NO_TLS),
          (f"{VERIFIED}, {CA}, client_allowed_sans: ['*.example.org']", NO_TLS, NO_TLS, NO_TLS),
          (f"{GIVEN}, {CA}, {SANS}", OK, NO_TLS, NO_TLS),
          (f"client_auth_type: RequestClientCert, {SANS}", OK, OK, NO_TLS),
          (f"{ANY}, {SANS}", OK, OK, NO_TLS),
          (f"{ANY}, client_allowed_sans: [other.example.org]", NO_TLS, NO_TLS, NO_TLS),
          (SANS, OK, OK, OK))
      for who, seen in (("known", known), ("stranger", stranger), ("", none))),
    Case("by address", tls(f"{VERIFIED}, {CA}, {SANS}"), OK, with_certificate("address")),
    Case("by mail address", tls(f"{VERIFIED}, {CA}, {SANS}"), OK, with_certificate("mail")),
    Case("authority missing", tls(f"{VERIFIED}, client_ca_file: gone.pem"), REFUSED),
    Case("authority without a policy", tls(CA), REFUSED),
    Case("authority and NoClientCert", tls(f"client_auth_type: NoClientCert, {CA}"), REFUSED),
    Case("unknown policy", tls("client_auth_type: Maybe"), REFUSED),
    Case("policy in small letters", tls("client_auth_type: requireanyclientcert"), REFUSED),
    Case("authority changes", tls(f"{VERIFIED}, {CA}"), OK, with_certificate("known"),
         tls(f"{VERIFIED}, client_ca_file: stranger_ca.pem"), NO_TLS),
    Case("names change", tls(f"{VERIFIED}, {CA}"), OK, with_certificate("known"),
         tls(f"{VERIFIED}, {CA}, client_allowed_sans: [other.example.org]"), NO_TLS),
]  # fmt: skip

PROTOCOLS = [
    Case("HTTP/1.1 offered", tls(), OK, Client(tls=True, protocols=("http/1.1",))),
    Case("nothing known offered", tls(), NO_TLS, Client(tls=True, protocols=("nonsense",))),
    Case("HTTP/2 and HTTP/1.1 offered, without HTTP/2", tls("", NO_HTTP2), OK,
         Client(tls=True, protocols=("h2", "http/1.1"))),
    Case("HTTP/2 offered, without HTTP/2", tls("", NO_HTTP2), NO_TLS, Client(tls=True, protocols=("h2",))),
]  # fmt: skip

CASES = {
    f"{kind}: {case.name}": case
    for kind, cases in (
        ("file", FILES), ("header", HEADERS), ("limit", LIMITS), ("user", USERS), ("certificate", CERTIFICATES),
        ("version", VERSIONS), ("suite", SUITES), ("client", CLIENTS), ("protocol", PROTOCOLS),
    )
    for case in cases
}  # fmt: skip


class Folder:
    """A folder with the certificates that the files name, and a place for the file."""

    def __init__(self, path: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        self.path = path
        self.web_config = path / "web.yml"
        self._authority = authority
        pems = {"ca": authority.cert_pem, "stranger_ca": stranger.cert_pem}
        for prefix, kind in (("", trustme.KeyType.ECDSA), ("rsa_", trustme.KeyType.RSA)):
            issued = authority.issue_cert("localhost", key_type=kind)
            pems |= {f"{prefix}cert": issued.cert_chain_pems[0], f"{prefix}key": issued.private_key_pem}
            both = issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes()
            (path / f"{prefix}both.pem").write_bytes(both)
        for name, pem in pems.items():
            pem.write_to_path(path / f"{name}.pem")
        (path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        self._clients = {
            "known": authority.issue_cert("prometheus.example.org"),
            "stranger": stranger.issue_cert("prometheus.example.org"),
            "address": authority.issue_cert("10.1.2.3"),
            "mail": authority.issue_cert("ops@example.org"),
        }

    def write(self, text: str) -> None:
        """Write the file."""
        if text == "INLINE":
            pems = {name: (self.path / f"{name}.pem").read_text().splitlines() for name in ("cert", "key")}
            text = "tls_server_config:\n" + "".join(
                f"  {name}: |\n" + "".join(f"    {line}\n" for line in lines) for name, lines in pems.items()
            )
        self.web_config.write_text(text, encoding="utf-8")

    def context(self, client: Client) -> ssl.SSLContext:
        """Return the client's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are meant
            if client.version:
                context.minimum_version = context.maximum_version = ssl.TLSVersion[client.version]
        if client.version in ("TLSv1", "TLSv1_1"):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        if client.ciphers:
            context.set_ciphers(client.ciphers)
        if client.curve:
            context.set_ecdh_curve(client.curve)
        if client.protocols:
            context.set_alpn_protocols(list(client.protocols))
        if client.certificate:
            self._clients[client.certificate].configure_cert(context)
        return context

    def look(self, port: int, client: Client) -> str:
        """Return what a client sees of the server on this port."""
        return " ".join(self._ask(port, client) for _ in range(client.requests))

    def _ask(self, port: int, client: Client) -> str:
        if client.tls:
            connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=self.context(client))
        else:
            connection = http.client.HTTPConnection("localhost", port, timeout=60)
        try:
            connection.putrequest("GET", "/")
            for name, password in client.sign_in:
                connection.putheader("Authorization", f"Basic {_base64(f'{name}:{password}')}")
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            shown = [f"{name}={answer.headers.get(name, '')!r}" for name in client.headers]
            return " ".join([str(answer.status), *shown])
        except (ssl.SSLError, ConnectionError, http.client.BadStatusLine):
            return NO_TLS
        finally:
            connection.close()


def _base64(text: str) -> str:

    return base64.b64encode(text.encode()).decode()


def outcome(folder: Folder, case: Case, serve: Callable[[Path], AbstractContextManager[int | None]]) -> tuple[str, str]:
    """Return what the client sees, and what it sees after the change; `serve` yields None where it does not start."""
    folder.write(case.file)
    with serve(folder.web_config) as port:
        if port is None:
            return REFUSED, ""
        seen = folder.look(port, case.client)
        if not case.seen_then:
            return seen, ""
        folder.write(case.then)
        return seen, folder.look(port, case.client)


def main(program: str) -> int:
    """Run all cases against a program; return the exit status: 1 where an outcome differs."""

    @contextlib.contextmanager
    def serve(web_config: Path) -> Iterator[int | None]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [program, f"127.0.0.1:{port}", str(web_config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr
            # It listens before it reads the file, and says last whether TLS is on; only HTTP/2 can fail after that.
            for line in child.stderr:
                if "TLS is" in line:
                    break
            time.sleep(0.05)
            yield port if child.poll() is None else None
            child.kill()

    differing = 0
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(Path(path))
        for name, case in CASES.items():
            seen = outcome(folder, case, serve)
            if seen != (case.seen, case.seen_then):
                differing += 1
                print(f"{name}: {seen}, expected {(case.seen, case.seen_then)}")
    print(f"{len(CASES)} cases, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
