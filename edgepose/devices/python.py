"""The device's Python: how a runner is started there, and whether runtimes import."""

import json
import re
import sys
from collections.abc import Iterable, Sequence

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.connect import workdir_of
from edgepose.devices.device import Device
from edgepose.devices.shell import check_path, failure, script
from edgepose.devices.transport import Transport
from edgepose.errors import RuntimeMissingError
from edgepose.targets import Target

# Where the name to import is not the name of the package.
_MODULES = {"onnxruntime-gpu": "onnxruntime", "apache-tvm": "tvm"}

# OpenVINO's telemetry would report the import to its makers (see backend_openvino).
_IMPORT = """
import importlib, json, sys
sys.modules["openvino_telemetry"] = None
answer = {}
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
        answer[name] = [str(getattr(module, "__version__", "")), ""]
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        answer[name] = ["", "%s: %s" % (type(error).__name__, lines[0])]
print("\\n@@" + json.dumps(answer))
"""

_CURRENT = 'read -r name <"$1/current" && [ -d "$1/$name" ] && printf %s "$1/$name"; exit 0'


class Import(msgspec.Struct, frozen=True, array_like=True):
    """The outcome of an import: a version, possibly empty, or an error."""

    version: str
    error: str


def site_folder(workdir: str) -> str:
    check_path(workdir)
    return f"{workdir}/site"


def current_site(transport: Transport, workdir: str, deadline: Deadline) -> str | None:
    """The folder of packages that ``setup_device`` made last; None where it never ran."""
    completed = transport.run(script(_CURRENT, site_folder(workdir)), deadline)
    return completed.text or None


def environment(device: Device, transport: Transport, deadline: Deadline) -> dict[str, str]:
    """Variables that a Python runner on ``device`` needs."""
    if device.transport == "local":
        return {}
    site = current_site(transport, workdir_of(device, transport, deadline), deadline)
    return {"PYTHONPATH": site} if site else {}


def python_command(device: Device, transport: Transport, deadline: Deadline) -> list[str]:
    """The beginning of a command that runs a Python program on ``device``."""
    if device.transport == "local":
        return [sys.executable]
    variables = environment(device, transport, deadline)
    prefix = ["env", *(f"{name}={value}" for name, value in variables.items())]
    return [*(prefix if variables else []), device.python]


def split_requirement(requirement: str) -> tuple[str, str]:
    """``name==version`` as (normalised name, version)."""
    name, _, version = requirement.partition("==")
    return re.sub(r"[-_.]+", "-", name).strip().lower(), version.strip()


def modules_of(target: Target, engine: str) -> list[str]:
    """What a runner of ``engine`` imports on ``target``."""
    runtime = target.runtimes.get(engine)
    if runtime is None or not runtime.packages:
        return ["numpy", engine]
    names = (split_requirement(requirement)[0] for requirement in runtime.packages)
    return [_MODULES.get(name, name.replace("-", "_")) for name in names]


def try_imports(
    transport: Transport, python: Sequence[str], modules: Iterable[str], deadline: Deadline
) -> dict[str, Import]:
    """Import ``modules`` in the device's interpreter.

    Raises RuntimeMissingError where the interpreter itself does not run.
    """
    names = list(dict.fromkeys(modules))
    completed = transport.run([*python, "-c", _IMPORT, *names], deadline)
    _, mark, answer = completed.text.rpartition("\n@@")
    if not mark and completed.returncode in (126, 127):
        raise no_python(python[-1])
    if not mark:
        # An import that kills the interpreter: an instruction that this CPU lacks, for example.
        error = f"the interpreter died: {failure(completed, 'import')}"
        return {name: Import("", error) for name in names}
    return msgspec.convert(json.loads(answer), dict[str, Import])


def no_python(python: str) -> RuntimeMissingError:
    return RuntimeMissingError(
        f"the device has no working {python}",
        hint="Install it there (`sudo apt install python3`), or name it as `python` in its "
        "entry of devices.toml.",
    )
