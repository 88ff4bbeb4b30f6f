"""What several commands share: the type of argparse's sub-parsers, tables, JSON."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgepose.errors import EdgePoseError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = Any


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def print_json(value: Any) -> None:
    """Print plain data or msgspec structs as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_error(error: EdgePoseError) -> None:
    """One paragraph and the way out, on stderr."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from tabulate import tabulate

    print(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))


def print_fields(fields: Sequence[tuple[str, Any]]) -> None:
    """Aligned ``name  value`` lines; a list takes one line an item."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        lines = value if isinstance(value, (list, tuple)) else [value]
        for index, line in enumerate(lines):
            print(f"{name if index == 0 else '':<{width}}  {line}")
