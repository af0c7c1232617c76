"""The command line: `python -m platform_sdk doctor`, or `platform-sdk doctor`."""

import argparse
import sys

from platform_sdk import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0 if everything is fine, 1 if something is to do, 2 for wrong usage or invalid options."""
    parser = argparse.ArgumentParser("platform-sdk", description="Check the SDK's set-up on this machine.")
    parser.add_argument("--version", action="version", version=f"platform-sdk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser(
        "doctor",
        help="check options, spool, connection, schema and rights, and say what to do",
        description="Check options, spool, connection, schema and rights, and say what to do. Options are those of the "
        "environment (PLATFORM_SDK_DSN ...), as the application reads them. Exit status 0: everything is ok, "
        "1: something is not, 2: wrong usage or invalid options. No secret is printed, and no row is left behind.",
    )
    doctor.add_argument("--app", help="instead of PLATFORM_SDK_APP")
    doctor.add_argument("--dsn", help="instead of PLATFORM_SDK_DSN; without a password: others see the command line")
    given = parser.parse_args(arguments)

    from platform_sdk.doctor import examine

    status, findings = examine(dsn=given.dsn, app=given.app)
    for finding in findings:
        sys.stdout.write(f"{finding.verdict:<5}  {finding.subject:<12} {finding.text}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
