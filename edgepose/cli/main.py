"""``edgepose COMMAND``: find the command, run it, turn errors into one paragraph and a code.

Exit codes: 0 done; 1 unexpected; 2 wrong usage or configuration; 3 the build failed; 4 the proof
failed; 5 a bundle or tuning records are corrupt; 6 a device cannot be used; 7 a run died or its
measurement was refused; 130 interrupted.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

import edgepose
from edgepose.cli import (
    bench,
    build,
    compare,
    device,
    doctor,
    models,
    profile,
    race,
    recipes,
    report,
    run,
    serve,
    targets,
    tune,
    verify,
    weights,
)
from edgepose.cli import eval as evaluation
from edgepose.cli.common import print_error
from edgepose.errors import EdgePoseError

_COMMANDS = (
    *(models, targets, recipes, weights, build, verify, device, doctor),
    *(bench, compare, race, tune, profile, report),
    *(run, evaluation, serve),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = _parser().parse_args(words)
    level = logging.WARNING if arguments.quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("edgepose").setLevel(level)
    # It logs the tracebacks of what it raises as well.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        code: int = arguments.run(arguments)
        return code
    except EdgePoseError as error:
        print_error(error)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        return 0
    except OSError as error:  # what may not be read or written, a full disk
        print_error(EdgePoseError(_told(error)))
        return EdgePoseError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _told(error: OSError) -> str:
    """The file and the system's reason."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgepose",
        description="From a human-pose model to a proven latency on a real edge device.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgepose {edgepose.__version__}")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
