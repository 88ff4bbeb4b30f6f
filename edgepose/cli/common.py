"""What several commands share: the type of argparse's sub-parsers, tables, JSON."""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from edgepose.errors import EdgePoseError

if TYPE_CHECKING:
    from edgepose.devices.check import Check

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = Any


_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_measuring(
    parser: argparse.ArgumentParser, *, budget_s: float | None, bound_on: str, default: str
) -> None:
    """Where to measure and with what: ``--device``, ``--threads``, ``--budget`` and ``--json``.

    ``budget_s`` is the budget's default, which the help calls ``default``.
    """
    parser.add_argument("--device", default="local", help="a device's name (default: local)")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the target's")
    parser.add_argument(
        "--budget",
        type=seconds,
        default=budget_s,
        metavar="TIME",
        help=f"bound on {bound_on}, such as 90s, 10m or 1h (default: {default})",
    )
    add_json(parser)


def positive(text: str) -> int:
    """argparse's type of a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def seconds(text: str) -> float:
    """argparse's type of a time such as 90s, 5m or 1h; bare numbers are seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 5m or 1h")
    return float(match[1]) * _UNITS_S[match[2] or "s"]


def print_json(value: Any) -> None:
    """Print plain data or msgspec structs as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_error(error: EdgePoseError) -> None:
    """One paragraph and the way out, on stderr."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def print_notes(notes: Iterable[str]) -> None:
    """What a measurement's verdict notes, on stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from tabulate import tabulate

    print(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))


def print_checks(checks: Sequence["Check"], as_json: bool) -> None:
    """A doctor's report."""
    if as_json:
        print_json(checks)
        return
    print_table(
        ["verdict", "check", "what was seen", "what to do"],
        [[check.verdict, check.name, check.text, check.fix] for check in checks],
    )


def print_fields(fields: Sequence[tuple[str, Any]]) -> None:
    """Aligned ``name  value`` lines; a list takes one line an item."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        lines = value if isinstance(value, (list, tuple)) else [value]
        for index, line in enumerate(lines):
            print(f"{name if index == 0 else '':<{width}}  {line}")
