"""Use the command line as a person does: help, exit statuses, and errors of one line on stderr."""

import json
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import COMMANDS, main
from exporter.database import schema as sql
from tests.servers import Database
from tools.stack.servers import Postgres, Redis
from tools.testing.exporter import command, exporting

STORE = "database: {{dsn: '{}', poll_interval_seconds: 0.2}}\n"
DOWN = "postgresql://someone:hunter2@127.0.0.1:1/d"


def run(*arguments: object) -> Result:
    """Run a command in this process; anything but a proper exit fails the test."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def write(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    path = folder / "c.yml"
    path.write_text(text)
    return path


HELP = {
    "": ("First steps:", "Exit status: 0 fine, 1 failed, 2 wrong usage or configuration"),
    "serve": (
        "--config",
        "--listen",
        "--web.config.file",
        "--web.enable-lifecycle",
        "SIGHUP or POST /-/reload",
        "PLATFORM_EXPORTER_CONFIG",
    ),
    "check-config": ("connects to nothing", "Exit status", "0 if good, 2 if not", "--web.config.file"),
    "schema": ("apply", "show"),
    "schema apply": ("GRANT platform_writer TO", "any earlier version"),
    "schema show": ("database administrator",),
    "adopt": ("--dry-run", "--undo", "Examples:", "PRESET|FILE"),
    "health": ("--json", "2: something is"),
    "doctor": ("from the tables to the notifications", "Exit status"),
    "rules": ("--job", "--interval", "--watch", "--prometheus-config", "GRAFANA_TOKEN", "Examples:"),
    "errors": ("list", "show", "resolve", "reopen", "ignore", "Examples:", "monitoring.audit"),
    "errors list": ("--app", "--severity", "--status", "--endpoint", "--type", "--since", "--search", "--json"),
    "errors show": ("stack trace", "--since", "four or more digits"),
    "errors resolve": ("--all-matching", "--yes", "--by", "--note", "--release", "a regression"),
    "series": ("list", "forget", "Examples:"),
    "series list": ("--app", "--metric", "--label", "--json"),
    "series forget": ("--yes", "gone from /metrics", "begins at 0"),
    "errors reopen": ("--all-matching", "resolved and ignored"),
    "errors assign": ("--none", "--all-matching", "a PERSON, the last argument"),
    "errors comment": ("--all-matching", "TEXT, the last argument"),
    "errors merge": ("keeps its status and its", "`errors split` undoes it", "--all-matching"),
    "errors split": ("an issue of its own", "--fingerprint"),
    "errors ignore": ("--until", "--for", "--events", "until they are reopened"),
    "backfill": ("--rules", "--output", "Example:", "the past ends where its counters are"),
    "users": ("of one user, by user id", "must own the schema", "Examples:"),
    "users export": ("--app", "--output", "as JSON"),
    "users erase": ("--yes", "--by", "Counters stay as they are", "Exit status 1"),
    "demo": ("--past", "--remove", "All of it is invented and marked", "Examples:"),
    "reconcile": ("--json", "changes nothing", "Exit status 1", "Examples:"),
    "preview": ("--stream", "--json", "Writes nothing", "Examples:"),
    "export": ("--since", "--where", "Examples:", "need no more memory than a thousand"),
    "alerts": ("Examples:", "alertmanager.urls", "monitoring.audit"),
    "alerts list": ("--severity", "--firing", "--json", "Exit status 0 if at least one Alertmanager answered"),
    "alerts create": ("--severity", "--by", "fires until it is resolved", "Exit status 1"),
    "alerts resolve": ("--comment", "--by", "the beginning of its id"),
    "alerts backtest": ("--against", "--warm-up", "nothing is sent or changed", "Example:"),
    "alerts test-watchdog": ("a trial message by every channel", "Exit status 0 if all were sent"),
    "alerts silence": ("--for", "--expire", "NAME=~REGEX", "missing in the audit"),
    "receive-notifications": ("--listen", "--file"),
}


@pytest.mark.parametrize(("name", "option"), [*((name, "--help") for name in HELP), ("", "-h"), ("errors show", "-h")])
def test_help_teaches(name: str, option: str) -> None:
    """Every command says what it does, takes and answers, in lines that fit a terminal."""
    result = run(*name.split(), option)

    assert (result.exit_code, result.stderr) == (0, "")
    assert [phrase for phrase in HELP[name] if phrase not in " ".join(result.stdout.split())] == []
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_every_command_has_its_help_tested() -> None:
    """A new command is named above."""
    found = {name: main.get_command(click.Context(main), name) for name in COMMANDS}
    groups = {name: getattr(command, "commands", {}) for name, command in found.items()}

    assert {"", *groups, *(f"{name} {inner}" for name, group in groups.items() for inner in group)} == set(HELP)


@pytest.mark.parametrize(
    "arguments", ["nonsense", "serve", "serve --nonsense", "check-config", "adopt", "schema nonsense", "health"]
)
def test_wrong_usage_is_status_2(arguments: str) -> None:
    """Wrong usage says what is wrong on stderr, and how to get help."""
    result = run(*arguments.split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--since", "abc", "'abc'"), ("--warm-up", "long", "'long'"), ("--alert", "Nonsense", "'Nonsense' for --alert")],
)
def test_what_is_asked_is_checked_before_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, message: str
) -> None:
    """A wrong value of `alerts backtest` is said first, not that Prometheus is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    path = write(tmp_path, "database: {dsn: host=h}")
    result = run("alerts", "backtest", "--config", str(path), option, value)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    "arguments",
    ["check-config {}", "serve --config {}", "health --config {}", "doctor --config {}", "schema apply --config {}",
     "adopt scitex --config {}"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datbase: {}", "unknown key `datbase`: did you mean `database`?"),
        ("database: {dsn: 'host=h', poll_interval_seconds: 0}", "invalid value 0 for `database.poll_inter"),
        ("a: [", "invalid YAML: line 1, column 5: "),
    ],
)
def test_bad_configuration_is_status_2(tmp_path: Path, arguments: str, text: str, message: str) -> None:
    """Every command refuses a bad configuration with one line on stderr that names file, key and what was expected."""
    path = write(tmp_path, text)
    result = run(*arguments.format(path).split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"platform-exporter: {path}: {message}")
    assert result.stderr.count("\n") == 1


def test_check_config_says_what_is_configured(tmp_path: Path) -> None:
    """A valid file is shown with what it configures, and without any secret of it; nothing is connected to."""
    text = STORE.format(DOWN) + (
        "sources: [{preset: native}, {preset: scitex}]\nprobes: {redis: [{name: main, url: 'redis://:hunter2@h'}]}\n"
        "jobs: [{app: shop, task: reindex, every: 6h}]\ndependencies: {shop: [redis/main]}\n"
        "queries: [{name: orders, sql: SELECT 1 AS v, value: v}]\n"
        "watches: [{name: products, table: shop.products, time: at}, {name: prices, table: shop.prices, time: at}]\n"
        "thresholds: {http_error_ratio: {apps: {shop: {critical: 0.1}}}}"
    )
    result = run("check-config", write(tmp_path, text))

    assert (result.exit_code, result.stderr) == (0, "")
    for phrase in ("good", "listen     127.0.0.1:9847", "database d at 127.0.0.1:1 as someone", "source     native",
                   "source     scitex: public.monitoring_app_systemmetric", "probe      redis main",
                   "good, 2 sources, 1 probe, 1 query, 2 watches, 1 job, 1 dependent, 1 override\n",
                   "job        shop reindex: every 6h",
                   "dependency shop: redis/main", "override   http_error_ratio.apps.shop"):  # fmt: skip
        assert phrase in result.stdout
    assert "hunter2" not in result.output


def test_check_config_looks_into_mappings(tmp_path: Path) -> None:
    """A source whose mapping is missing or bad is an error of the configuration."""
    result = run("check-config", write(tmp_path, STORE.format(DOWN) + "sources: [{preset: gone.yml}]"))

    assert result.exit_code == 2
    assert "`sources`, gone: mapping" in result.stderr
    assert "cannot be read (No such file or directory)" in result.stderr


def test_config_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PLATFORM_EXPORTER_CONFIG stands for --config."""
    monkeypatch.setenv("PLATFORM_EXPORTER_CONFIG", str(write(tmp_path, STORE.format(DOWN))))

    assert run("health").exit_code == 2
    assert run("schema", "apply").exit_code == 1


@pytest.mark.parametrize("arguments", ["schema apply", "adopt scitex"])
def test_unreachable_database_is_status_1(tmp_path: Path, arguments: str) -> None:
    """A database that does not answer is one line with place and cause, without the password."""
    path = write(tmp_path, STORE.format(DOWN) + "sources: [{preset: scitex}]")
    result = run(*arguments.split(), "--config", path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "platform-exporter: no connection to database d at 127.0.0.1:1 as someone: "
        'connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
    )


def test_schema_may_be_applied_again(database: Database, tmp_path: Path) -> None:
    """`schema apply` says what there is afterwards, and may be repeated."""
    path = write(tmp_path, STORE.format(database.dsn))
    first, again = run("schema", "apply", "--config", path), run("schema", "apply", "--config", path)

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stdout == again.stdout
    assert f"schema monitoring is at version {sql.VERSION} in database {database.name}" in first.stdout


def test_schema_shown_can_be_run(database: Database, tmp_path: Path) -> None:
    """The output of `schema show`, run manually, once or twice, gives the same schema as `schema apply`."""
    script = tmp_path / "schema.sql"
    script.write_text(run("schema", "show").stdout)
    database.load_sql(script)
    database.load_sql(script)
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'monitoring'::regnamespace"
    shown = database.execute(tables)
    assert run("schema", "apply", "--config", write(tmp_path, STORE.format(database.dsn))).exit_code == 0

    assert database.execute(tables) == shown


def test_schema_without_rights_is_told(database: Database, tmp_path: Path) -> None:
    """A user who may not create the schema gets the GRANT."""
    database.execute(f"CREATE ROLE poor_{database.name} LOGIN")
    path = write(tmp_path, STORE.format(f"{database.dsn}?user=poor_{database.name}"))
    result = run("schema", "apply", "--config", path)

    assert result.exit_code == 1
    assert f'GRANT CREATE ON DATABASE "{database.name}" TO "poor_{database.name}";' in result.stderr
    database.execute(f"DROP ROLE poor_{database.name}")


def test_newer_schema_is_refused(database: Database, tmp_path: Path) -> None:
    """A schema of a later version is left alone."""
    path = write(tmp_path, STORE.format(database.dsn))
    run("schema", "apply", "--config", path)
    database.execute("UPDATE monitoring.schema_version SET version = 999")
    result = run("schema", "apply", "--config", path)

    assert result.exit_code == 1
    assert f"is version 999, this program knows {sql.VERSION}; upgrade platform-exporter" in result.stderr


def test_health_tells_unknown(database: Database, tmp_path: Path) -> None:
    """What was never counted is unknown, which is a warning: status 1."""
    path = write(tmp_path, STORE.format(database.dsn))
    run("schema", "apply", "--config", path)
    result = run("health", "--config", path)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "unknown    overall"


def test_health_tells_critical(postgres: Postgres, tmp_path: Path) -> None:
    """What cannot be used is critical: status 2, whatever else is well."""
    probes = f"probes: {{postgresql: [{{name: a, dsn: '{postgres.dsn}'}}, {{name: b, dsn: '{DOWN}'}}]}}"
    result = run("health", "--json", "--config", write(tmp_path, STORE.format(DOWN) + "sources: []\n" + probes))
    report = json.loads(result.stdout)

    assert (result.exit_code, report["status"]) == (2, "unhealthy")
    assert {check["check"]: check["status"] for check in report["checks"]} == {
        "postgresql a": "healthy", "postgresql b": "unhealthy",
    }  # fmt: skip


def test_health_and_doctor_where_everything_is_ok(
    database: Database, postgres: Postgres, redis_server: Redis, tmp_path: Path
) -> None:
    """Both say so, and end with status 0."""
    text = STORE.format(database.dsn) + (
        f"probes: {{postgresql: [{{name: main, dsn: '{postgres.dsn}'}}], "
        f"redis: [{{name: main, url: '{redis_server.url}'}}]}}\n"
    )
    run("schema", "apply", "--config", write(tmp_path, text))
    with exporting(tmp_path, text) as exporter:
        exporter.config.write_text(text + f"listen: '{exporter.base.removeprefix('http://')}'\n")
        health, doctor = (
            run("health", "--config", exporter.config),
            run("doctor", "--config", exporter.config),
        )

    assert (health.exit_code, health.stdout.splitlines()[-1]) == (0, "healthy    overall")
    assert doctor.exit_code == 0, doctor.stdout
    assert {line.split()[0] for line in doctor.stdout.splitlines()} == {"ok"}


def test_doctor_says_what_to_do(database: Database, tmp_path: Path) -> None:
    """A missing step is `to do`, with its command; what does not answer is FAIL; status 1."""
    result = run("doctor", "--config", write(tmp_path, STORE.format(database.dsn) + "listen: 127.0.0.1:1"))

    assert result.exit_code == 1
    todo, fail = (next(line for line in result.stdout.splitlines() if line.startswith(v)) for v in ("to do", "FAIL"))
    assert "run `platform-exporter schema apply --config FILE`" in todo
    assert "http://127.0.0.1:1/-/ready does not answer" in fail


def test_doctor_hides_users_of_addresses(tmp_path: Path) -> None:
    """User and password in an address of `stack` are not shown."""
    text = STORE.format(DOWN) + "sources: []\nlisten: 127.0.0.1:1\nstack: {grafana_url: 'http://u:hunter2@127.0.0.1:1'}"
    result = run("doctor", "--config", write(tmp_path, text))

    assert "grafana" in result.stdout
    assert "hunter2" not in result.output


def test_module_and_version() -> None:
    """`python -m exporter --version` is the console script's."""
    shown = subprocess.run(command("--version"), capture_output=True, text=True, check=True)

    assert shown.stdout.startswith("platform-exporter, version ")
