"""Read good and bad configurations: every key, every error, and no secret in any of them."""

import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
import trustme
import yaml
from psycopg import conninfo

from exporter.config import loader, thresholds
from exporter.config.settings import Config, convert, parse_address
from exporter.errors import ConfigError
from exporter.exposition.labels import added_labels
from exporter.indicators import INDICATORS
from exporter.indicators.declaration import OVERRIDES, Indicator
from exporter.probes import PROBES, Probe
from exporter.sections import Secret, dsn_parts
from platform_sdk.events import EVENTS

SECRET = "hunter2-tOp"
EXAMPLE = Path(__file__).parent.parent / "platform-exporter.example.yml"
STORE = "database:\n  dsn: postgresql://platform@127.0.0.1:5432/platform\n"


def parse(text: str, environment: dict[str, str] | None = None, folder: Path = Path("/etc/platform")) -> Config:
    """Return the configuration in `text`."""
    return loader.parse(text, folder / "platform.yml", environment or {})


def refusal(text: str, environment: dict[str, str] | None = None, folder: Path = Path("/etc/platform")) -> str:
    """Return the message a text is refused with, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        parse(text, environment, folder)
    message = str(caught.value)
    start = f"{folder / 'platform.yml'}: "
    assert message.startswith(start)
    assert "\n" not in message
    return message.removeprefix(start)


def shown(value: Secret | str) -> str:
    """Return a text that is not of the plain type."""
    return value.reveal() if isinstance(value, Secret) else str(value)


def test_defaults_are_those_documented() -> None:
    """What a file leaves out has the value the documentation names."""
    plain = msgspec.to_builtins(parse(STORE), enc_hook=shown)

    assert plain == {
        "database": {
            "dsn": "postgresql://platform@127.0.0.1:5432/platform",
            "password": None,
            "poll_interval_seconds": 5.0,
            "connect_timeout_seconds": 5.0,
        },
        "listen": "127.0.0.1:9847",
        "state_folder": None,
        "scrape_interval_seconds": 5.0,
        "labels": {},
        "sources": (
            {"preset": "native", "name": None, "app": None, "database": None, "sample_labels": None, "labels": {}},
        ),
        "probes": {kind.component: () for kind in PROBES},
        "probe_timeout_seconds": 1.0,
        "dependencies": {},
        "queries": (),
        "watches": (),
        "jobs": (),
        "budgets": (),
        "limits": {"series_per_metric": 500, "idle_series_days": 30, "future_tolerance_seconds": 300.0},
        "thresholds": {
            "minimum_events": 20,
            # The example shows each default: test_example_shows_the_defaults.
            **{name: band(indicator) for name, indicator in INDICATORS.items()},
        },
        "objectives": {"http_availability": 0.99, "http_latency": 0.95, "scraping_success": 0.9},
        "retention_days": {kind.name: kind.retention_days for kind in EVENTS},
        "alertmanager": {
            "urls": (), "username": None, "password": None, "bearer_token": None, "ca_file": None,
            "timeout_seconds": 5.0, "resend_seconds": 15.0,
        },
        "errors": {"token": None},
        "watchdog": {
            "token": None, "missing_after_seconds": 300.0, "repeat_seconds": 3600.0, "expect_scrapes": True,
            "mail": None, "webhook": None,
        },
        "alerts": {
            "token": None, "spool_folder": None, "spool_limit_bytes": 67_108_864, "flap_seconds": 600.0,
            "noise_seconds": 120.0, "retention_days": 400,
        },
        "stack": {"prometheus_url": None, "alertmanager_url": None, "grafana_url": None},
        "reconcile": {"interval_seconds": None},
    }  # fmt: skip


def band(indicator: Indicator) -> dict[str, object]:
    """Return an indicator's thresholds without overrides."""
    given = {severity: one.threshold for severity, one in indicator.bands.items()}
    return dict.fromkeys(thresholds.BANDS) | given | {key: {} for key in OVERRIDES}


def test_defaults_are_in_order() -> None:
    """The thresholds shipped pass the checks that a file's own must pass."""
    assert list(thresholds.Thresholds().problems()) == []


def kinds_in(hint: object) -> Iterator[object]:
    """Yield a type hint and whatever stands in it."""
    yield hint
    for inner in get_args(hint):
        yield from kinds_in(inner)


def keys_of(section: type[msgspec.Struct]) -> set[str]:
    """Return the keys of a section and of all sections in it."""
    inner = {kind for hint in get_type_hints(section).values() for kind in kinds_in(hint) if isinstance(kind, type)}
    return set(section.__struct_fields__).union(*(keys_of(kind) for kind in inner if issubclass(kind, msgspec.Struct)))


def test_example_shows_every_key() -> None:
    """The example configuration names every key there is, in a comment where it has no default to show."""
    text = EXAMPLE.read_text(encoding="utf-8")

    assert {key for key in keys_of(Config) if not re.search(rf"\b{key}(_file)?:", text)} == set()


@pytest.mark.parametrize("kind", PROBES, ids=lambda kind: kind.component)
def test_example_of_a_probe_shows_every_key(kind: type[Probe]) -> None:
    """Each kind of probe shows all its keys, in values that it takes."""
    keys = {key.removesuffix("_file") if key not in kind.target.__struct_fields__ else key: value
            for key, value in yaml.safe_load(kind.example).items()}  # fmt: skip
    config = convert({"database": {"dsn": "host=h"}, "probes": {kind.component: [keys]}})

    assert set(keys) == set(kind.target.__struct_fields__) - {"password"} | {"password"} & set(keys)
    assert getattr(config.probes, kind.component)[0].name == keys["name"]


def test_example_shows_the_defaults() -> None:
    """What the example does not comment out are the defaults."""
    example, plain = loader.load(EXAMPLE), parse(STORE)

    assert (example.thresholds, example.objectives) == (plain.thresholds, plain.objectives)
    assert (example.limits, example.retention_days, example.listen) == (
        plain.limits,
        plain.retention_days,
        plain.listen,
    )


def test_probes_have_defaults() -> None:
    """A probe needs a name and where to go; the rest is there."""
    probes = parse(
        STORE + "probes:\n  postgresql: [{name: a, dsn: 'host=h'}]\n  redis: [{name: a, url: 'redis://h'}]\n"
        "  minio: [{name: a, endpoint: 'h:9000', access_key: k, secret_key: s}]\n"
    ).probes

    assert (probes.postgresql[0].primary, probes.postgresql[0].connections_degraded_ratio) == (True, 0.9)
    assert (probes.redis[0].queues, probes.redis[0].primary, probes.redis[0].memory_degraded_ratio) == ((), True, 0.9)
    assert (probes.minio[0].secure, probes.minio[0].region, probes.minio[0].buckets) == (True, None, ())


@pytest.mark.parametrize(
    ("text", "where", "suggestion"),
    [
        (STORE + "sauces: []", "", "sources"),
        ("database: {dsn: 'host=h', passwort: x}", "database", "password"),
        ("database: {dsn: 'host=h', pasword_file: x}", "database", "password_file"),
        (STORE + "sources: [{presett: native}]", "sources[0]", "preset"),
        (STORE + "sources: [{database: {dns: x}}]", "sources[0].database", "dsn"),
        (STORE + "probes: {postgres: []}", "probes", "postgresql"),
        (STORE + "probes: {redis: [{name: a, url: 'redis://h', queue: [b]}]}", "probes.redis[0]", "queues"),
        (STORE + "limits: {series: 5}", "limits", "series_per_metric"),
        (STORE + "thresholds: {http_latency: {}}", "thresholds", "http_latency_seconds"),
        (STORE + "thresholds: {http_error_ratio: {crit: 1}}", "thresholds.http_error_ratio", "critical"),
        (STORE + "thresholds: {http_error_ratio: {apps: {x: {hihg: 1}}}}", "thresholds.http_error_ratio.apps.x",
         "high"),
        (STORE + "retention_days: {errors: 3}", "retention_days", "error"),
        (STORE + "stack: {grafana: x}", "stack", "grafana_url"),
    ],
)  # fmt: skip
def test_unknown_key_is_named_with_the_one_meant(text: str, where: str, suggestion: str) -> None:
    """At every level an unknown key is an error that names it, its place and the key of that place most like it."""
    message = refusal(text)

    assert message.startswith("unknown key `")
    assert (f" in `{where}`" in message) == bool(where)
    assert f"did you mean `{suggestion}`?" in message or f"{suggestion}" in message.partition("expected one of")[2]


def test_unknown_key_unlike_any_lists_those_there_are() -> None:
    """Where no key resembles the unknown one, the keys of that section are listed."""
    assert refusal(STORE + "stack: {x: 1}") == (
        "unknown key `x` in `stack`: expected one of prometheus_url, alertmanager_url, grafana_url"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid configuration, holds nothing: expected a mapping with at least the key `database`"),
        ("- a", "invalid configuration, holds list: expected a mapping with at least the key `database`"),
        ("{}", "missing key `database`"),
        ("database: {}", "missing key `dsn` in `database`"),
        ("database: ", "invalid value for `database`: expected `object`, got `null`"),
        (STORE + "listen: 9847", "invalid value 9847 for `listen`: expected `str`, got `int`"),
        (STORE + "sources: native", "invalid value for `sources`: expected `array`, got `str`"),
        (STORE + "sources: [{preset: 5}]", "invalid value 5 for `sources[0].preset`: expected `str`, got `int`"),
        (STORE + "probe_timeout_seconds: soon",
         "invalid value 'soon' for `probe_timeout_seconds`: expected a number of seconds, such as 300"),
        (STORE + "thresholds: {http_latency_seconds: {medium: 5m}}",
         ("invalid value '5m' for `thresholds.http_latency_seconds.medium`: expected a number of seconds, "
         "such as 300")),
        (STORE + "jobs: [{app: a, task: b, every: 90}]",
         "invalid value 90 for `jobs[0].every`: expected a duration such as 90m"),
        (STORE + "budgets: [{app: a, month: 0}]", "invalid value 0 for `budgets[0].month`: expected `float` > 0.0"),
        (STORE + "probe_timeout_seconds: 0.01",
         "invalid value 0.01 for `probe_timeout_seconds`: expected `float` >= 0.05"),
        (STORE + "probe_timeout_seconds: .nan",
         "invalid value nan for `probe_timeout_seconds`: expected `float` >= 0.05"),
        (STORE + "probe_timeout_seconds: 61", "invalid value 61 for `probe_timeout_seconds`: expected `float` <= 60.0"),
        (STORE + "limits: {series_per_metric: 19}",
         "invalid value 19 for `limits.series_per_metric`: expected `int` >= 20"),
        (STORE + "limits: {future_tolerance_seconds: .inf}",
         "invalid value inf for `limits.future_tolerance_seconds`: expected `float` <= 31536000.0"),
        (STORE + "retention_days: {error: 0}", "invalid value 0 for `retention_days.error`: expected `int` >= 1"),
        (STORE + "retention_days: {error: 99999}",
         "invalid value 99999 for `retention_days.error`: expected `int` <= 36500"),
        ("database: {dsn: 'host=h', poll_interval_seconds: 0}",
         "invalid value 0 for `database.poll_interval_seconds`: expected `float` >= 0.1"),
        (STORE + "probes: {redis: [{name: 'a b', url: 'redis://h'}]}",
         "invalid value 'a b' for `probes.redis[0].name`: expected `str` matching regex '^[A-Za-z0-9_.:-]+$'"),
        (STORE + "watchdog: {missing_after_seconds: 30}",
         ("invalid value 30.0 for `watchdog.missing_after_seconds`: expected at least 120: the watchdog comes once "
         "a minute")),
        (STORE + "stack: {prometheus_url: '127.0.0.1:9090'}",
         "invalid value for `stack.prometheus_url`: expected http(s)://HOST:PORT, with a path if any"),
        ("database: {dsn: 5}",
         "invalid value for `database.dsn`: expected a text that is not empty (a number only in quotes)"),
        ("database: {dsn: ''}",
         "invalid value for `database.dsn`: expected a text that is not empty (a number only in quotes)"),
    ],
)  # fmt: skip
def test_wrong_value_is_reported_with_what_is_expected(text: str, message: str) -> None:
    """A wrong type or a value out of bounds is an error that names key, value and what is expected."""
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "invalid YAML: line 2, column 1: key `a` is given twice"),
        (STORE + "stack: {x: 1, x: 2}", "invalid YAML: line 3, column 15: key `x` is given twice"),
        ("\tdatabase: x", "invalid YAML: line 1, column 1: found character '\\t' that cannot start any token"),
        ("? [a]\n: b",
         "invalid YAML: line 1, column 3: invalid key of type list: expected a text, in quotes if need be"),
        ("5: b", "invalid YAML: line 1, column 1: invalid key of type int: expected a text, in quotes if need be"),
        ("listen: 2026-13-45",
         "invalid YAML: line 1, column 9: invalid date or number: put quotes around a text"),
        ("a: &a [*a]", "invalid YAML: line 1, column 8: invalid alias inside its own anchor"),
        ("a: b\0", "invalid YAML: special characters are not allowed"),
        ("a: " + "[" * 3000 + "]" * 3000, "invalid YAML: nested too deeply: expected at most some dozens of levels"),
    ],
)  # fmt: skip
def test_text_that_is_not_strict_yaml_is_reported_with_its_place(text: str, message: str) -> None:
    """Invalid YAML, and YAML that is surely a mistake, is refused with line and column."""
    assert refusal(text) == message


def test_anchors_and_merges_work() -> None:
    """YAML's anchors may be used to say a thing once."""
    text = STORE + "probes:\n  redis:\n  - &r {name: a, url: 'redis://h', queues: [q]}\n  - {<<: *r, name: b}\n"

    assert parse(text).probes.redis[1].queues == ("q",)


def test_variable_is_taken_from_the_environment() -> None:
    """`${VAR}` inside a text becomes the variable's value."""
    assert parse(STORE + "listen: '${HOST}:9847'", {"HOST": "db"}).listen == "db:9847"


def test_variable_may_stand_for_a_number() -> None:
    """`${VAR}` may be the whole of a key that wants a number."""
    assert parse(STORE + "probe_timeout_seconds: ${LIMIT}", {"LIMIT": "2.5"}).probe_timeout_seconds == 2.5


@pytest.mark.parametrize(("environment", "host"), [({}, "localhost"), ({"HOST": "db"}, "db"), ({"HOST": ""}, "")])
def test_variable_may_have_a_default(environment: dict[str, str], host: str) -> None:
    """`${VAR:-default}` is the default only where the variable is not set at all."""
    assert parse(STORE + "listen: '${HOST:-localhost}:1'", environment).listen == f"{host}:1"


def test_two_dollars_are_one() -> None:
    """`$$` is a dollar sign, and what follows is not a variable."""
    dsn = parse("database: {dsn: 'host=h', password: 'a$${X}b$$'}").database.password

    assert dsn == Secret("a${X}b$")


def test_lone_dollar_stays() -> None:
    """A dollar sign before anything but a brace or another one is itself."""
    assert parse("database: {dsn: 'host=h', password: 'a$b$'}").database.password == Secret("a$b$")


def test_undefined_variable_is_reported() -> None:
    """A variable without value or default is an error that names key and variable."""
    assert refusal(STORE + "listen: '${HOST}:1'") == (
        "unknown variable HOST in `listen`: set it in the environment, or write ${HOST:-default}"
    )


@pytest.mark.parametrize("bad", ["${a-b}", "${}", "${1}", "${open"])
def test_malformed_variable_is_reported(bad: str) -> None:
    """A brace that holds no variable's name is an error."""
    assert refusal(STORE + f"listen: '{bad}'") == (
        f"invalid variable '{bad}' in `listen`: expected ${{NAME}}, or $$ for a dollar sign"
    )


@pytest.mark.parametrize(
    "inside", [f"postgresql://app:{SECRET}@db/shop", f" host=db password={SECRET}", f"redis://:{SECRET}@"]
)
def test_what_a_brace_holds_may_be_a_secret(inside: str) -> None:
    """A brace that was opened by mistake before an address shows none of it, wherever it stands."""
    for ends in ("", "}"):
        assert refusal(f"database: '${{{inside}{ends}'") == (
            "invalid variable in `database`: expected ${NAME}, or $$ for a dollar sign"
        )


SECRETS = [
    ("database", "database: {{{key}}}", "dsn", "host=h"),
    ("database", "database: {{dsn: 'host=h', {key}}}", "password", SECRET),
    ("sources[0].database", STORE + "sources: [{{database: {{{key}}}}}]", "dsn", "host=h"),
    ("sources[0].database", STORE + "sources: [{{database: {{dsn: 'host=h', {key}}}}}]", "password", SECRET),
    ("probes.postgresql[0]", STORE + "probes: {{postgresql: [{{name: a, {key}}}]}}", "dsn", "host=h"),
    ("probes.postgresql[0]", STORE + "probes: {{postgresql: [{{name: a, dsn: 'host=h', {key}}}]}}", "password", SECRET),
    ("probes.redis[0]", STORE + "probes: {{redis: [{{name: a, {key}}}]}}", "url", "redis://h"),
    ("probes.redis[0]", STORE + "probes: {{redis: [{{name: a, url: 'redis://h', {key}}}]}}", "password", SECRET),
    ("probes.minio[0]", STORE + "probes: {{minio: [{{name: a, endpoint: h, secret_key: s, {key}}}]}}", "access_key",
     SECRET),
    ("probes.minio[0]", STORE + "probes: {{minio: [{{name: a, endpoint: h, access_key: s, {key}}}]}}", "secret_key",
     SECRET),
]  # fmt: skip
BY_KEY = pytest.mark.parametrize(
    ("where", "text", "key", "value"), SECRETS, ids=[f"{where}.{key}" for where, _, key, _ in SECRETS]
)


def look_up(settings: object, path: str) -> object:
    """Return what stands at a path such as `probes.redis[0].url`."""
    for step in path.replace("[0]", ".0").split("."):
        settings = settings[0] if step == "0" else getattr(settings, step)  # type: ignore[index]
    return settings


@BY_KEY
def test_secret_may_be_in_a_file(where: str, text: str, key: str, value: str, tmp_path: Path) -> None:
    """Every secret may be given as X_file, whose path starts at the configuration's folder."""
    (tmp_path / "secret").write_text(value)

    found = look_up(parse(text.format(key=f"{key}_file: secret"), folder=tmp_path), f"{where}.{key}")

    assert found == Secret(value)


@BY_KEY
def test_secret_file_that_is_missing_is_reported(where: str, text: str, key: str, value: str, tmp_path: Path) -> None:
    """A secret file that is not there is an error that names key and path."""
    assert refusal(text.format(key=f"{key}_file: gone"), folder=tmp_path) == (
        f"invalid path '{tmp_path}/gone' for `{where}.{key}_file` (No such file or directory): "
        f"expected the path of a file that holds the secret, readable by user id {os.geteuid()}"
    )


@BY_KEY
def test_secret_given_twice_is_reported(where: str, text: str, key: str, value: str, tmp_path: Path) -> None:
    """A secret both in the configuration and in a file is an error that names both keys."""
    (tmp_path / "secret").write_text(value)

    message = refusal(text.format(key=f"{key}_file: secret, {key}: '{value}'"), folder=tmp_path)

    assert message == f"both `{where}.{key}_file` and `{where}.{key}` are given: expected one of them"


@pytest.mark.parametrize(
    ("content", "secret"),
    [("s\n", "s"), ("s\r\n", "s"), ("s \n", "s "), (" s", " s"), ("a\nb\n", "a\nb"), ("${X}$$", "${X}$$"), ("é", "é")],
)
def test_secret_file_loses_its_last_newline_only(content: str, secret: str, tmp_path: Path) -> None:
    """The newline that editors append is not part of the secret; all else is, unchanged."""
    (tmp_path / "secret").write_bytes(content.encode())

    assert parse("database: {dsn: 'host=h', password_file: secret}", folder=tmp_path).database.password == Secret(
        secret
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "(it is empty): expected the path of a file that holds the secret"),
        (b"\n", "(it is empty): expected the path of a file that holds the secret"),
        (b"\xff\xfe", "(not UTF-8): expected the path of a file that holds the secret"),
    ],
)
def test_secret_file_without_a_secret_is_reported(content: bytes, message: str, tmp_path: Path) -> None:
    """A secret file that is empty or binary is an error."""
    (tmp_path / "secret").write_bytes(content)

    assert message in refusal("database: {dsn: 'host=h', password_file: secret}", folder=tmp_path)


def test_secret_file_that_is_a_folder_is_reported(tmp_path: Path) -> None:
    """A secret file that cannot be read, whatever the cause, is an error that names it."""
    message = refusal("database: {dsn: 'host=h', password_file: .}", folder=tmp_path)

    assert message.startswith("invalid path ")
    assert "for `database.password_file` (Is a directory)" in message


def test_secret_file_that_gives_nothing_is_reported() -> None:
    """A secret file that exists but cannot be read is not reported as missing."""
    # Nobody can read this one at its beginning, root neither.
    message = refusal("database: {dsn: 'host=h', password_file: /proc/self/mem}")

    assert message.startswith("invalid path '/proc/self/mem' for `database.password_file` (")


@pytest.mark.parametrize("path", ["7", "[a]", "", "{a: b}"])
def test_secret_file_must_be_a_path(path: str) -> None:
    """X_file must be a text."""
    message = refusal(f"database: {{dsn: 'host=h', password_file: {path}}}")

    assert message.startswith("invalid path ")
    assert " for `database.password_file`: expected the path of a file" in message


def test_variables_work_in_secret_paths(tmp_path: Path) -> None:
    """The path of a secret file may come from the environment."""
    (tmp_path / "secret").write_text("s")

    password = parse("database: {dsn: 'host=h', password_file: '${D}/secret'}", {"D": str(tmp_path)}).database.password

    assert password == Secret("s")


@pytest.mark.parametrize(("given", "used"), [("maps/x.yml", "/etc/platform/maps/x.yml"), ("/x.yaml", "/x.yaml")])
def test_mapping_file_starts_at_the_configurations_folder(given: str, used: str) -> None:
    """A mapping's relative path is relative to the configuration, wherever the program was started."""
    assert parse(STORE + f"sources: [{{preset: {given}}}]").sources[0].preset == used


def test_ca_file_starts_at_the_configurations_folder(tmp_path: Path) -> None:
    """A CA file's relative path is relative to the configuration too."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    text = STORE + "probes: {minio: [{name: a, endpoint: h, access_key: k, secret_key: s, ca_file: ca.pem}]}"

    assert parse(text, folder=tmp_path).probes.minio[0].ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "urls: ['http://platform:hunter2@a:9093']",
            "invalid value for `alertmanager.urls[0]`: expected http://HOST:PORT without user, and",
        ),
        (
            "urls: ['http://a:9093', 'b:9093']",
            "invalid value 'b:9093' for `alertmanager.urls[1]`: expected http://HOST:PORT or",
        ),
        (
            "urls: ['http://a', 'http://a']",
            "invalid value ['http://a', 'http://a'] for `alertmanager.urls`: expected each Alertmanager once",
        ),
        (
            "username: platform",
            "invalid value 'platform' for `alertmanager.username`: expected both `username` and `password_file`",
        ),
        (
            "{username: a, password: b, bearer_token: c}",
            "invalid value for `alertmanager.bearer_token`: expected either `bearer_token_file`, or `username`",
        ),
    ],
)
def test_alertmanagers_are_checked(keys: str, problem: str) -> None:
    """What could not work, or would show a password in a log, is refused at once."""
    message = refusal(f"{STORE}alertmanager: {keys if keys.startswith('{') else '{' + keys + '}'}\n")

    assert message.startswith(problem)
    assert "hunter2" not in message


def test_ca_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """A CA file that is missing is an error of the configuration, not of every later probe."""
    text = STORE + "probes: {minio: [{name: a, endpoint: h, access_key: k, secret_key: s, ca_file: ca.pem}]}"

    assert refusal(text, folder=tmp_path) == (
        f"invalid value '{tmp_path}/ca.pem' for `probes.minio[0].ca_file`: "
        "expected a PEM file of certificates that can be read"
    )


def test_threshold_keeps_the_defaults_of_other_severities() -> None:
    """Overriding one severity leaves the others as they are."""
    threshold = parse(STORE + "thresholds: {http_latency_seconds: {critical: 3}}").thresholds.http_latency_seconds

    assert (threshold.medium, threshold.high, threshold.critical) == (0.5, None, 3.0)


def test_threshold_may_be_left_out() -> None:
    """null takes a severity's threshold away."""
    threshold = parse(STORE + "thresholds: {http_latency_seconds: {medium: null}}").thresholds.http_latency_seconds

    assert (threshold.medium, threshold.critical) == (None, 1.0)


def test_threshold_may_differ_by_app_and_api() -> None:
    """An app's or an API's own band stands beside the general one."""
    text = STORE + "thresholds: {api_success_ratio: {apps: {a: {critical: 0.5}}, apis: {b: {medium: 0.92}}}}"
    threshold = parse(text).thresholds.api_success_ratio

    assert (threshold.medium, threshold.apps["a"].critical, threshold.apis["b"].medium) == (0.95, 0.5, 0.92)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{http_latency_seconds: {medium: 2}}",
         ("invalid value [2.0, 1.0] for `thresholds.http_latency_seconds`: expected rising values "
         "of medium, critical")),
        ("{api_success_ratio: {medium: 0.5}}",
         ("invalid value [0.5, 0.9] for `thresholds.api_success_ratio`: expected falling values "
         "of medium, critical")),
        ("{scraping_failure_ratio: {high: 0.6}}",
         ("invalid value [0.1, 0.6, 0.5] for `thresholds.scraping_failure_ratio`: expected rising values "
         "of medium, high, critical")),
        ("{http_error_ratio: {apps: {x: {medium: 0.2, critical: 0.1}}}}",
         ("invalid value [0.2, 0.1] for `thresholds.http_error_ratio.apps.x`: expected rising values "
         "of medium, critical")),
        ("{api_success_ratio: {apis: {x: {medium: 0.1, critical: 0.2}}}}",
         ("invalid value [0.1, 0.2] for `thresholds.api_success_ratio.apis.x`: expected falling values "
         "of medium, critical")),
        ("{http_error_ratio: {apps: {x: {medium: 0.2}}}}",
         ("invalid value [0.2, 0.05] for `thresholds.http_error_ratio.apps.x`: expected rising values "
         "of medium, critical")),
        ("{http_error_ratio: {critical: 5}}",
         ("invalid value 5.0 for `thresholds.http_error_ratio.critical`: expected a share from 0 to 1, "
         "such as 0.05 for 5 %")),
        ("{saturation_ratio: {components: {main: {high: 95}}}}",
         ("invalid value 95.0 for `thresholds.saturation_ratio.components.main.high`: expected a share from 0 to 1, "
         "such as 0.05 for 5 %")),
        ("{http_latency_seconds: {medium: -1}}",
         "invalid value -1 for `thresholds.http_latency_seconds.medium`: expected `float` >= 0.0"),
        ("{http_error_ratio: {apps: {blog: {critical: null}}}}",
         ("invalid value null for `thresholds.http_error_ratio.apps.blog.critical`: expected a number; an override "
         "moves a threshold and cannot leave it out, so give one that is never reached")),
        ("{saturation_ratio: {components: {redis/main: {high: 0.9}}}}",
         ("invalid key `redis/main` in `thresholds.saturation_ratio.components`: expected a name without its kind, "
         "`main`; it holds for all components of that name")),
    ],
)  # fmt: skip
def test_threshold_without_sense_is_refused(text: str, message: str) -> None:
    """Bands must be in order with what they inherit, shares at most 1, and overrides must have an effect."""
    assert refusal(STORE + f"thresholds: {text}") == message


@pytest.mark.parametrize("text", ["{http_latency_rise_ratio: {medium: 3}}", "{app_silence_ratio: {high: 8}}",
                                  "{error_burst_factor: {high: 50}}", "{sdk_dropped_ratio: {high: 1}}"])  # fmt: skip
def test_multiple_may_be_above_one(text: str) -> None:
    """Only what is shown as a percentage is a share."""
    assert parse(STORE + f"thresholds: {text}")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("{http_error_ratio: {apis: {arxiv: {medium: 0.1}}}}",
         "`thresholds.http_error_ratio.apis`: expected only medium, critical, apps: it is not about apis"),
        ("{http_error_ratio: {high: 0.03}}",
         "`thresholds.http_error_ratio.high`: expected only medium, critical: it has no other alert"),
        ("{saturation_ratio: {apps: {shop: {medium: 0.1}}}}",
         "`thresholds.saturation_ratio.apps`: expected only medium, high, components: it is not about apps"),
    ],
)  # fmt: skip
def test_override_that_nothing_would_read_is_refused(text: str, start: str) -> None:
    """An override for an API or app of an indicator that knows none would be silently without effect."""
    assert refusal(STORE + f"thresholds: {text}").startswith(f"invalid value for {start}")


SUBJECTS = (
    "watches: [{name: prices, table: shop.prices, time: at}, {name: stock, table: shop.stock, time: at}]\n"
    "probes: {redis: [{name: a, url: 'redis://h', queues: [mail]}, {name: b, url: 'redis://h', queues: [mail, rq]}]}\n"
)


@pytest.mark.parametrize(
    ("subjects", "text", "message"),
    [
        (SUBJECTS, "{table_age_seconds: {watches: {nope: {high: 9}}}}",
         ("'nope' for `thresholds.table_age_seconds.watches`: expected one of this configuration's watches "
         "(prices, stock)")),
        ("", "{table_rows_ratio: {watches: {prices: {medium: 0.2}}}}",
         ("'prices' for `thresholds.table_rows_ratio.watches`: expected one of this configuration's watches "
         "(there is none)")),
        (SUBJECTS, "{queue_age_seconds: {queues: {male: {medium: 9}}}}",
         "'male' for `thresholds.queue_age_seconds.queues`: expected one of this configuration's queues (mail, rq)"),
    ],
)  # fmt: skip
def test_override_of_what_is_not_there_is_refused(subjects: str, text: str, message: str) -> None:
    """A misspelt watch or queue would silently keep the threshold of all; both are named in this file alone."""
    assert refusal(STORE + subjects + f"thresholds: {text}") == f"invalid value {message}"


def test_override_of_what_may_come_is_kept() -> None:
    """Apps, APIs and scrapers are in rows, and components in other exporters too: no file knows them."""
    text = (
        "{table_age_seconds: {watches: {stock: {high: 900000}}}, queue_age_seconds: {queues: {rq: {medium: 9}}}, "
        "api_success_ratio: {apis: {a: {medium: 0.9}}, apps: {b: {medium: 0.9}}}, "
        "scraping_failure_ratio: {scrapers: {c: {critical: 0.6}}}, saturation_ratio: {components: {d: {high: 0.9}}}}"
    )
    found = parse(STORE + SUBJECTS + f"thresholds: {text}").thresholds.indicators()

    names = sorted(name for one in found.values() for _, name, _ in one.overrides())
    assert names == ["a", "b", "c", "d", "rq", "stock"]


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("{}", [("http_availability", None, 0.99), ("http_latency", None, 0.95), ("scraping_success", None, 0.9)]),
        ("{http_availability: 0.999, http_latency: null}",
         [("http_availability", None, 0.999), ("scraping_success", None, 0.9)]),
        ("{http_availability: {apps: {shop: 0.9995}}, http_latency: null, scraping_success: null}",
         [("http_availability", None, 0.99), ("http_availability", "shop", 0.9995)]),
        ("{http_availability: {target: null, apps: {shop: 0.9995}}, http_latency: null, scraping_success: '${TARGET}'}",
         [("http_availability", "shop", 0.9995), ("scraping_success", None, 0.75)]),
    ],
)  # fmt: skip
def test_objectives_may_be_numbers_differ_by_app_or_be_none(
    text: str, targets: list[tuple[str, str | None, float]]
) -> None:
    """A number is the target of every app; a mapping has targets of single apps too; null switches one off."""
    assert list(parse(STORE + f"objectives: {text}", {"TARGET": "0.75"}).objectives.targets()) == targets


@pytest.mark.parametrize("value", ["0", "1", "99", "{target: 1.5}", "{apps: {shop: 1}}", "{target: high}", "[]"])
def test_objective_must_leave_an_error_budget(value: str) -> None:
    """A target is a share between 0 and 1; of 1 there is no budget to burn."""
    assert "objectives.http_availability" in refusal(STORE + f"objectives: {{http_availability: {value}}}")


def test_unknown_objective_is_refused() -> None:
    """An objective that no rule knows would be silently without effect."""
    assert refusal(STORE + "objectives: {http_availablity: 0.9}") == (
        "unknown key `http_availablity` in `objectives`: did you mean `http_availability`?"
    )


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_threshold_must_be_finite(value: str) -> None:
    """A threshold that nothing compares to is refused."""
    assert "for `thresholds.http_error_ratio.medium`: expected" in refusal(
        STORE + f"thresholds: {{http_error_ratio: {{medium: {value}}}}}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: [{preset: native}, {}]", "'native' for `sources`"),
        ("sources: [{preset: a/x.yml}, {preset: b/x.yaml}]", "'x' for `sources`"),
        ("sources: [{preset: scitex, name: s}, {name: s}]", "'s' for `sources`"),
        ("probes: {redis: [{name: a, url: 'redis://h'}, {name: a, url: 'redis://i'}]}",
         "'a' for `probes.redis`"),
    ],
)  # fmt: skip
def test_duplicate_names_are_reported(text: str, message: str) -> None:
    """Two sources or two targets of one name would write the same series."""
    assert refusal(STORE + text) == f"invalid value {message}: expected one entry per name (set `name`)"


def test_each_event_store_is_counted_once() -> None:
    """Two sources of one store would add each event to itself."""
    second = "{preset: native, name: second, database: {dsn: host=h}}"

    assert refusal(STORE + "sources: [{preset: native}, {preset: native, name: second}]") == (
        "invalid value 'second' for `sources`: expected a `database` of its own: "
        "source native counts the events of this one already"
    )
    assert "source second" in refusal(STORE + f"sources: [{second}, {second.replace('second', 'third')}]")


@pytest.mark.parametrize(
    ("sources", "places"),
    [
        ("[{preset: scitex}]", ["first"]),
        ("[{preset: native}, {preset: native, name: b, database: {dsn: dbname=second}}]", ["first", "second"]),
        ("[{preset: native, name: b, database: {dsn: dbname=second}}, {preset: native}]", ["first", "second"]),
        ("[{preset: scitex, database: {dsn: dbname=second}}]", ["first"]),
    ],
)
def test_event_stores_are_the_databases_of_native_sources(sources: str, places: list[str]) -> None:
    """The first is `database`, whether it is counted or not; each is there once."""
    config = parse(f"database: {{dsn: dbname=first}}\nsources: {sources}")

    assert [store.dsn.reveal().removeprefix("dbname=") for store in config.stores] == places


def test_targets_of_different_kinds_may_share_a_name() -> None:
    """PostgreSQL `main` and Redis `main` are different components."""
    text = "probes: {redis: [{name: a, url: 'redis://h'}], postgresql: [{name: a, dsn: 'host=h'}]}"

    assert parse(STORE + text).probes.redis[0].name == "a"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9847", ("127.0.0.1", 9847)), ("[::1]:9847", ("::1", 9847)), (":9847", ("", 9847)),
        ("localhost:0", ("localhost", 0)), ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)  # fmt: skip
def test_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    """An address names a host, or none for all, and a port."""
    assert parse_address(text) == address


@pytest.mark.parametrize("listen", ["9847", "localhost", "::1:9847", "h:65536", "h:-1", "h:²", "h:", "", "h:98 47"])
def test_bad_listen_is_reported(listen: str) -> None:
    """An invalid address is an error that shows what one looks like."""
    assert refusal(STORE + f"listen: '{listen}'") == (
        f"invalid value '{listen}' for `listen`: expected HOST:PORT such as 127.0.0.1:9847, [::1]:9847 or :9847"
    )


@pytest.mark.parametrize("dsn", ["nonsense", "host=h password=a b", "postgresql://h/d?passwrd=x", "mysql://h"])
def test_bad_dsn_is_reported(dsn: str) -> None:
    """What libpq cannot read is refused before anything connects."""
    assert refusal(f"database: {{dsn: '{dsn}'}}") == (
        "invalid value for `database.dsn`: expected postgresql://USER@HOST:PORT/DATABASE or key=value"
    )


@pytest.mark.parametrize(
    "dsn", ["postgresql://u@h:1,i:2/d", "host=@abstract", "host=/run/postgresql", "postgresql:///d"]
)
def test_unusual_dsn_is_taken(dsn: str) -> None:
    """Several hosts, sockets and defaults are good DSNs."""
    assert parse(f"database: {{dsn: '{dsn}'}}").database.dsn == Secret(dsn)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://h", "postgres://h/", "postgresql://u@h:1/d", "postgresql://u:p@h.example:5432/d-1",
        "postgresql://u@/d", "postgresql://u:@h/d", "postgresql:///d", "postgresql://u@h/d?sslmode=require",
        "postgresql://u:p%40@h/d", "postgresql://[::1]:1/d", "postgresql://a:1,b:2/d", "host=h user=u", "",
    ],
)  # fmt: skip
def test_dsn_has_the_parts_that_libpq_reads(dsn: str) -> None:
    """Plain URLs, which are read without libpq, have the same parts as with it."""
    given = {name: part for name, part in conninfo.conninfo_to_dict(dsn).items() if part != ""}

    assert {name: part for name, part in dsn_parts(Secret(dsn)).items() if part != ""} == given


@pytest.mark.parametrize("endpoint", ["http://h:9000", "h:9000/x", "h:9:9", "h:99999", "h:", "user@h"])
def test_bad_endpoint_is_reported(endpoint: str) -> None:
    """A MinIO endpoint is a host and a port; scheme, user and path are refused."""
    text = STORE + f"probes: {{minio: [{{name: a, endpoint: '{endpoint}', access_key: k, secret_key: s}}]}}"

    assert "expected HOST:PORT without scheme, user or path" in refusal(text)


@pytest.mark.parametrize("url", ["h:6379", "http://h", "redis://[bad", "redis://h:port", "redis://h:70000"])
def test_bad_redis_url_is_reported(url: str) -> None:
    """A Redis URL without the scheme, or with an invalid port, is refused."""
    message = refusal(STORE + f"probes: {{redis: [{{name: a, url: '{url}'}}]}}")

    assert message.startswith(
        "invalid value for `probes.redis[0].url`: expected redis://HOST:PORT/NUMBER, rediss:// or unix://PATH"
    )


PLACES = {
    "minio[0].endpoint": "probes: {{minio: [{{name: a, endpoint: '{host}:9000', access_key: k, secret_key: s}}]}}",
    "redis[0].url": "probes: {{redis: [{{name: a, url: 'redis://{host}:6379/0'}}]}}",
    "redis[0].sentinels": "probes: {{redis: [{{name: a, url: 'redis://main/0', sentinels: ['{host}:26379']}}]}}",
    "http[0].url": "probes: {{http: [{{name: a, url: 'https://{host}/'}}]}}",
    "listen": "listen: '{host}:9847'",
    "urls[0]": "alertmanager: {{urls: ['http://{host}:9093']}}",
    "webhook.address": "watchdog: {{token: t, webhook: {{address: 'https://{host}/hook?key=1'}}}}",
    "mail.server": "watchdog: {{token: t, mail: {{to: [a@b.c], sender: a@b.c, server: '{host}:25'}}}}",
}
"""Where an address is configured, by the end of its key."""


@pytest.mark.parametrize("host", ["[....]", "[::::]", "[1.2.3.4]", "a..b", "a" * 64 + ".example"])
@pytest.mark.parametrize("key", PLACES)
def test_host_that_cannot_be_looked_up_is_reported(key: str, host: str) -> None:
    """Wherever there is one: Python raises on some only when it is used."""
    assert f"{key}`: expected " in refusal(STORE + PLACES[key].format(host=host))


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1", "a.example", "höst.example"])
@pytest.mark.parametrize("key", PLACES)
def test_host_that_can_be_looked_up_is_taken(key: str, host: str) -> None:
    """Names of other letters, too, but in what HTTP asks for."""
    if key != "http[0].url" or host.isascii():
        parse(STORE + PLACES[key].format(host=host), {}, Path("/etc/platform"))


@pytest.mark.parametrize("label", ["app", "le", "quantile", "__name__"])
def test_reserved_sample_label_is_reported(label: str) -> None:
    """A sample's label may not take the place of one that every series or bucket has."""
    assert f"invalid value '{label}' for `sources[0].sample_labels`: expected a label that has no meaning" in refusal(
        STORE + f"sources: [{{sample_labels: [{label}]}}]"
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("{team: a, 1x: b}", "invalid key `1x` in `labels`: expected `str` matching"),
        ("{team: a, region: ''}", "invalid value '' for `labels.region`: expected `str` of length >= 1"),
        ("{team: a, region: 5}", "invalid value 5 for `labels.region`: expected `str`, got `int`"),
        ("{team: a, 'postgresql://u:p@h/d': b}", "invalid key (not shown) in `labels`: expected"),
    ],
)
def test_invalid_label_is_named(labels: str, message: str) -> None:
    """Of several labels the one that is wrong, and its value."""
    assert refusal(STORE + f"labels: {labels}").startswith(message)


def test_invalid_threshold_of_an_app_is_named() -> None:
    """Also in mappings within mappings, but no value where there may be a secret."""
    override = "thresholds: {http_error_ratio: {apps: {shop: {critical: 0.1}, blog: {critical: high}}}}"
    header = "probes: {http: [{name: a, url: 'http://a', headers: {X-Ok: a, X-Key: 5}}]}"

    assert "'high' for `thresholds.http_error_ratio.apps.blog.critical`" in refusal(STORE + override)
    assert refusal(STORE + header).startswith("invalid value for `probes.http[0].headers.X-Key`: expected a text")


def test_missing_file_is_reported(tmp_path: Path) -> None:
    """A configuration that is not there is an error that names it."""
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.yml \(No such file or directory\): expected a YAML"):
        loader.load(tmp_path / "gone.yml")


def test_binary_file_is_reported(tmp_path: Path) -> None:
    """A configuration that is not text is an error."""
    path = tmp_path / "x.yml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"cannot read .* \(not UTF-8\)"):
        loader.load(path)


LEAKS = [
    f"database: postgresql://u:{SECRET}@h/d",
    f"database: [{SECRET}]",
    f"database:\n  dsn: host=h\n  password: {SECRET}\n  password: {SECRET}",
    f'database:\n  dsn: host=h\n  password: "{SECRET}',
    f"database:\n  dsn: host=h\n  password: *{SECRET}",
    f"database:\n  dsn: host=h\n  password: !{SECRET}",
    f"database:\n  dsn: host=h\n  password: a: {SECRET}",
    f"database:\n  dsn: host=h\n  password: %{SECRET}",
    f"database: {{dsn: 'host=h', password: 'a${{b-{SECRET}'}}",
    f"database: {{dsn: 'host=h', password: [{SECRET}]}}",
    f"database: {{dsn: 'host=h password={SECRET} x'}}",
    f"database: {{dsn: 'postgresql://u:{SECRET}@x@h/d'}}",
    f"database: {{dsn: 'postgresql://u:a@{SECRET}@h/d'}}",
    f"database: {{dsn: 'postgresql://u:{SECRET}/x@h/d'}}",
    f"database: {{dsn: 'postgresql://u:{SECRET}@h:x/d'}}",
    f"database: {{dsn: 'postgresql://u:{SECRET}@h/d?x=y'}}",
    f"database: {{postgresql://u:{SECRET}@h/d}}",
    STORE + f"probes: {{postgresql: 'postgresql://u:{SECRET}@h/d'}}",
    STORE + f"probes: {{postgresql: {{name: a, dsn: 'postgresql://u:{SECRET}@h/d'}}}}",
    STORE + f"probes: {{postgresql: ['postgresql://u:{SECRET}@h/d']}}",
    STORE + f"probes: {{redis: [{{name: a, url: 'redis://:{SECRET}/x@h'}}]}}",
    STORE + f"probes: {{redis: [{{name: a, url: 'http://:{SECRET}@h'}}]}}",
    STORE + f"probes: {{redis: [{{name: a, url: 'redis://:{SECRET}@[h'}}]}}",
    STORE + f"probes: {{minio: [{{name: a, endpoint: 'http://k:{SECRET}@h', access_key: k, secret_key: s}}]}}",
    STORE + f"probes: {{minio: [{{name: a, endpoint: 'h', access_key: k, secret_key: [{SECRET}]}}]}}",
    STORE + f"sources: [{{database: 'postgresql://u:{SECRET}@h/d'}}]",
    STORE + f"sources: 'postgresql://u:{SECRET}@h/d'",
    STORE + f"errors: {{token_file: {{token: {SECRET}}}}}",
    STORE + f"errors: {{token_file: [{SECRET}]}}",
    STORE + f"errors: {{token_file: {SECRET}}}",
    STORE + f"errors: {{token: {{token_file: {{token: {SECRET}}}}}}}",
    STORE + f"alerts: {{token: {SECRET}, spool_limit_bytes: {SECRET}}}",
    STORE + f"alerts: {{token: {SECRET}}}\nlisten: {SECRET}",
    STORE + f"errors: {{token: {SECRET}}}\n{SECRET}: 1",
    STORE + f"errors: {{token: {SECRET}}}\nlabels: {{{SECRET}: 5}}",
    STORE + f"errors: {{token: {SECRET}}}\njobs: [{{app: a, scraper: b, cron: '{SECRET}'}}]",
    STORE + f"errors: {{token: {SECRET}}}\ndependencies: {{shop: [{SECRET}]}}",
    STORE + f"listen: {SECRET}",
    STORE + f"listen: postgresql://u:{SECRET}@h/d",
    STORE + f"stack: {{grafana_url: 'http://h/?token={SECRET}'}}",
    STORE + f"alertmanager: {{urls: ['http://h/?token={SECRET}']}}",
    STORE + f"alertmanager: {{urls: ['http://h/{SECRET}', 'http://h/{SECRET}']}}",
    STORE + f"watchdog: {{mail: {{to: ['{SECRET}'], sender: a, server: b}}}}",
    f"database: {{dsn: 'postgresql:///u:{SECRET}@h/d'}}",
    f"{SECRET}: 1\n{SECRET}: 2",
    STORE + f"errors: {{token_file: 'wJalrXUtnFEMI/{SECRET}/bPxRfiCYEXAMPLEKEY'}}",
    STORE + f"errors: {{token_file: '/{SECRET}'}}",
    STORE + f'alertmanager: {{urls: ["http://h"], ca_file: "-----BEGIN PRIVATE KEY-----\\n{SECRET}"}}',
    STORE + f"queries: [{{name: '{SECRET} x', sql: SELECT 1, value: a}}]",
    STORE + f"queries: [{{name: a, sql: SELECT 1, value: a, labels: ['{SECRET} x']}}]",
    STORE + f"sources: [{{name: 'a b {SECRET}'}}]",
    STORE + f"sources: [{{preset: 'a {SECRET}', labels: {{{SECRET}: 5}}}}]",
    STORE + f"probes: {{http: [{{name: a, url: 'http://h', headers: {{'{SECRET} x': a}}}}]}}",
    STORE + f"thresholds: {{saturation_ratio: {{components: {{'redis/{SECRET}': {{high: 5}}}}}}}}",
    STORE + f"thresholds: {{saturation_ratio: {{components: {{'redis/{SECRET}': 5}}}}}}",
    STORE + f"labels: {{{SECRET}: 5}}",
    STORE + f"labels: {{a: {{{SECRET}: 5}}}}",
    STORE + f"state_folder: ['{SECRET}/x']",
]


@pytest.mark.parametrize("text", LEAKS)
def test_no_error_shows_a_secret(text: str) -> None:
    """Whatever is wrong, neither the message nor a traceback of it holds a password that stands in the file."""
    with pytest.raises(ConfigError) as caught:
        parse(text)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("shown", [repr, str, "{}".format, "{!r}".format, msgspec.to_builtins])
def test_a_configuration_can_be_printed(shown: object) -> None:
    """No way of printing a configuration shows a secret."""
    text = (
        f"database: {{dsn: 'postgresql://u:{SECRET}@h/d', password: {SECRET}}}\n"
        f"probes: {{redis: [{{name: a, url: 'redis://:{SECRET}@h', password: {SECRET}}}]}}"
    )
    try:
        printed = str(shown(parse(text)))  # type: ignore[operator]
    except TypeError as error:  # a Secret cannot be encoded
        printed = str(error)

    assert SECRET not in printed


def test_settings_cannot_be_changed() -> None:
    """A configuration is a value: what runs with it cannot change it."""
    with pytest.raises(AttributeError, match="immutable"):
        convert({"database": {"dsn": "host=h"}}).database.poll_interval_seconds = 1  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["dev", "pipe", "folder", "long", "nul"])
@pytest.mark.parametrize("key", ["database: {dsn: 'host=h', password_file: F}", STORE + "errors: {token_file: F}"])
def test_secret_file_must_be_a_regular_file_of_some_size(kind: str, key: str, tmp_path: Path) -> None:
    """A device would be read without end, a pipe would be waited for."""
    path = tmp_path / "secret"
    made = {
        "dev": lambda: path.symlink_to("/dev/zero"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir,
        "long": lambda: path.write_text("x" * 65_537), "nul": lambda: path.write_bytes(b"a\0b"),
    }  # fmt: skip
    made[kind]()

    assert "expected the path of a file that holds the secret" in refusal(
        key.replace("FILE", "secret"), folder=tmp_path
    )


def test_secret_of_64_kb_is_taken(tmp_path: Path) -> None:
    """The bound itself, with its newline."""
    (tmp_path / "secret").write_text("x" * 65_535 + "\n")

    assert parse("database: {dsn: 'host=h', password_file: secret}", folder=tmp_path).database.password


def test_variable_that_is_no_text_is_reported() -> None:
    """The environment may hold bytes of any encoding."""
    assert refusal(STORE + "listen: '${X}'", {"X": "a\udcff"}) == (
        "invalid text for `listen`: expected UTF-8, from the environment too"
    )


@pytest.mark.parametrize("content", ["", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("section", ["alertmanager: {urls: ['http://h'], ca_file: ca.pem}",
                                     "probes: {http: [{name: a, url: 'https://h/', ca_file: ca.pem}]}"])  # fmt: skip
def test_ca_file_without_a_certificate_is_reported(content: str, section: str, tmp_path: Path) -> None:
    """Nothing could be verified with it."""
    (tmp_path / "ca.pem").write_text(content)

    assert "expected a PEM file of certificates that can be read" in refusal(STORE + section, folder=tmp_path)


def test_ca_file_may_have_comments(tmp_path: Path) -> None:
    """As systems' own have them, with names in any language."""
    (tmp_path / "ca.pem").write_bytes("# Főtanúsítvány\n".encode() + trustme.CA().cert_pem.bytes())

    assert parse(STORE + "alertmanager: {urls: ['http://h'], ca_file: ca.pem}", folder=tmp_path)


@pytest.mark.parametrize(
    ("section", "key"),
    [("alertmanager: {}", "urls"), ("alertmanager: {timeout_seconds: 3}", "urls"), ("alertmanager: {urls: []}", "urls"),
     ("alerts: {}", "token_file"), ("errors: {}", "token_file"), ("watchdog: {}", "token_file")],
)  # fmt: skip
def test_section_without_effect_is_refused(section: str, key: str) -> None:
    """It would be taken for switched on."""
    assert refusal(STORE + section).startswith(f"missing key `{key}` in `{section.partition(':')[0]}`")


def test_alertmanagers_credentials_may_be_for_that_of_the_stack() -> None:
    """Where its address is in `stack`."""
    assert parse(STORE + "alertmanager: {timeout_seconds: 3}\nstack: {alertmanager_url: 'http://h'}")


@pytest.mark.parametrize("labels", ["labels: {site: 'http://u:hunter2@h/x'}",
                                    "sources: [{labels: {site: 'see http://u:hunter2@h'}}]"])  # fmt: skip
def test_label_without_a_password(labels: str) -> None:
    """A label is shown to everybody who may read metrics."""
    with pytest.raises(ConfigError, match=r"labels\.site`: expected an address without user and password") as caught:
        added_labels(parse(STORE + labels))

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "environment", "place"),
    [
        ("postgresql://h:6432", {}, "the default database at h:6432 as this user"),
        ("host=h", {}, "the default database at h:5432 as this user"),
        ("postgresql://ann@h", {}, "database ann at h:5432 as ann"),
        ("postgresql://h", {"PGUSER": "bob"}, "database bob at h:5432 as bob"),
        ("postgresql://h", {"PGDATABASE": "shop"}, "database shop at h:5432 as this user"),
        ("postgresql://ann@h/shop", {"PGUSER": "bob", "PGDATABASE": "x"}, "database shop at h:5432 as ann"),
    ],
)
def test_where_a_dsn_points(dsn: str, environment: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it leaves out is what libpq takes, in words where that depends on the process's user."""
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert convert({"database": {"dsn": dsn}}).database.place == place


def test_a_secret_has_no_byte_order_mark(tmp_path: Path) -> None:
    """Some editors of Windows write one; it is nothing that anybody typed."""
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfabcd\r\n")

    token = parse(STORE + "errors: {token_file: token}", folder=tmp_path).errors.token
    assert token is not None
    assert token.reveal() == "abcd"


def test_a_file_of_the_kernels_is_no_regular_file() -> None:
    """It says that it is one, and reading the log of its messages takes them away."""
    assert "not a regular file" in refusal(STORE + "errors: {token_file: /proc/self/cmdline}")


@pytest.mark.parametrize("missing", ["token", "secrets/token", "/tmp/no-such-token"])
def test_a_path_is_shown_where_its_folder_is(missing: str, tmp_path: Path) -> None:
    """It is then no secret that stands in the place of its file."""
    (tmp_path / "secrets").mkdir()

    assert missing in refusal(STORE + f"errors: {{token_file: {missing}}}", folder=tmp_path)
