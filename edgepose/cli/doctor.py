"""``edgepose doctor``: is everything on this host that building takes?"""

import argparse

from edgepose.cli.common import Commands, add_json, print_checks


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("doctor", help="examine this host: engines, compilers, helpers")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.doctor import examine_host
    from edgepose.errors import ToolchainError

    checks = examine_host()
    print_checks(checks, as_json=arguments.json)
    critical = any(check.verdict == "CRITICAL" for check in checks)
    return ToolchainError.exit_code if critical else 0
