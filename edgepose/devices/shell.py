"""The one place where commands are quoted, and the small POSIX scripts that transports send.

The quoting suits a POSIX login shell (sh, bash, dash, ash, zsh); fish and csh are not supported.
"""

import shlex
from collections.abc import Sequence

from edgepose.devices.transport import Completed
from edgepose.errors import DeviceError, DeviceFullError, UsageError

# The inner shell prints its own process id and then becomes the command, so the id is the
# command's, and with setsid also its group's. Without setsid (busybox without it) the command
# still outlives the session: HUP is ignored and no descriptor of the session stays open.
_DETACH = """
log=$1; shift
command -v "$1" >/dev/null || { echo "$1: not found" >&2; exit 127; }
: >"$log" || exit 1
inner='trap "" HUP; echo "$$"; exec "$@" >"$0" 2>&1'
if command -v setsid >/dev/null
then setsid sh -c "$inner" "$log" "$@" </dev/null 2>/dev/null &
else sh -c "$inner" "$log" "$@" </dev/null 2>/dev/null &
fi
"""

# The first line of output is the process id of what then becomes the command.
_OPEN = """
command -v "$1" >/dev/null || { echo "$1: not found" >&2; exit 127; }
echo "$$"
exec "$@"
"""

# Runs to its end also when the link died: then the size differs and the partial file goes.
_RECEIVE = """
part=$1 destination=$2 size=$3 mode=$4
trap 'rm -f "$part"' EXIT
trap 'exit 1' HUP INT TERM PIPE
[ ! -d "$destination" ] || { echo "$destination: is a directory" >&2; exit 1; }
cat >"$part" || exit 1
[ "$(wc -c <"$part")" -eq "$size" ] || { echo "the upload was cut short" >&2; exit 1; }
chmod "$mode" "$part" && mv -f "$part" "$destination"
"""

_FULL = ("No space left on device", "Disk quota exceeded")


def check_argv(argv: Sequence[str]) -> None:
    """Raise UsageError for what no transport can carry."""
    if isinstance(argv, str) or not argv or not argv[0]:
        raise UsageError("a command is a non-empty list of arguments")
    if any("\0" in argument for argument in argv):
        raise UsageError("a command's argument contains a NUL character")


def check_path(path: str) -> None:
    """Raise UsageError unless ``path`` is absolute, as every path on a device is."""
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"{path!r} is not an absolute path on the device")


def command_line(argv: Sequence[str]) -> bytes:
    """``argv`` as one line for the remote login shell."""
    check_argv(argv)
    return shlex.join(argv).encode(errors="surrogateescape")


def script(text: str, *arguments: str) -> list[str]:
    """A POSIX script as a command; messages in English, so that they can be read by us."""
    return ["env", "LC_ALL=C", "sh", "-c", text, "edgepose", *arguments]


def detached(argv: Sequence[str], log: str) -> list[str]:
    """The command that starts ``argv`` in a session of its own and prints its process id."""
    check_argv(argv)
    check_path(log)
    return ["sh", "-c", _DETACH, "edgepose", log, *argv]


def detached_pid(completed: Completed, argv: Sequence[str]) -> int:
    """The process id that ``detached`` printed. Raises DeviceError where nothing was started."""
    if completed.returncode != 0 or not completed.text.strip().isdigit():
        raise failure(completed, f"cannot start {argv[0]}")
    return int(completed.text)


def opened(argv: Sequence[str]) -> list[str]:
    """The command that prints its process id and then becomes ``argv``."""
    check_argv(argv)
    return ["sh", "-c", _OPEN, "edgepose", *argv]


def receive(part: str, destination: str, size: int, mode: int) -> list[str]:
    """The command that reads a file of ``size`` bytes from its input into ``destination``."""
    return script(_RECEIVE, part, destination, str(size), f"{mode & 0o777:o}")


def failure(completed: Completed, doing: str) -> DeviceError:
    """The error for a command that failed; a full disk is told apart by its message."""
    reason = completed.stderr.decode(errors="replace").strip()
    message = f"{doing}: {reason or f'exit status {completed.returncode}'}"
    if any(text in reason for text in _FULL):
        return DeviceFullError(message, hint="Free some space on the device and try again.")
    return DeviceError(message)


def succeeded(completed: Completed, doing: str) -> Completed:
    """Return ``completed``. Raises DeviceError where its exit status is not zero."""
    if completed.returncode != 0:
        raise failure(completed, doing)
    return completed
