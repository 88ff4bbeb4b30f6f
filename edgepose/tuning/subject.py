"""What is tuned, and on what: found by the same rules as a build finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepose.devices.device import Device
from edgepose.devices.inventory import find_device
from edgepose.engines.tvm.hardware import TvmTarget, proxy_of, tvm_target
from edgepose.engines.tvm.pins import check_tuner
from edgepose.engines.tvm.records import Origin
from edgepose.errors import ToolchainError, UsageError
from edgepose.model_source import find_source
from edgepose.prepare import Prepared, graph_key, prepare
from edgepose.recipes import Recipe, load_recipe
from edgepose.targets import Target, load_target


@dataclass(frozen=True)
class Subject:
    """What is tuned: the net's graph, for which hardware, and what lies behind the name."""

    prepared: Prepared
    target: Target
    hardware: TvmTarget
    origin: Origin

    @property
    def graph_hash(self) -> str:
        return self.prepared.graph_hash


def find_subject(
    model: str, target: str, proxy: bool = False, weights: Path | str | None = None
) -> Subject:
    """Prepare ``model`` as a build for ``target`` would: records are found by its graph.

    Raises UsageError where the target allows no recipe with TVM, ToolchainError without TVM
    and what its tuner needs.
    """
    hardware = load_target(target)
    recipe = _recipe(hardware)
    compiled_for = proxy_of(hardware) if proxy else tvm_target(hardware)
    _require_tuner()
    source = find_source(model, Path(weights) if weights else None, untrained=False)
    max_opset = min(recipe.max_opset, hardware.max_opset("tvm") or recipe.max_opset)
    prepared = prepare(source, max_opset, None, graph_key(source, max_opset, None), False)
    return Subject(prepared, hardware, compiled_for, "proxy" if proxy else "board")


def entries_of(names: Sequence[str], target: str, proxy: bool) -> list[Device]:
    """The devices; a proxy is always this host.

    Raises UsageError for one of another target, and where the target cannot be tuned for.
    """
    hardware = load_target(target)
    _recipe(hardware)  # before a board is asked for that would be of no use
    wanted = "host" if proxy else hardware.name
    entries = [find_device(name) for name in names]
    for device in entries:
        if device.target != wanted:
            raise UsageError(
                f"device {device.name!r} is a {device.target}, not a {wanted}",
                hint="A proxy is this host: leave `--device` out."
                if proxy
                else f"Name one: `--device NAME`; without a {wanted}, `--proxy host` tunes here.",
            )
    return entries


def _require_tuner() -> None:
    status = check_tuner()
    if not status.available:
        raise ToolchainError(
            f"tuning needs {', '.join(status.missing)}, which this host lacks", hint=status.fix
        )


def _recipe(target: Target) -> Recipe:
    """The first recipe with TVM that ``target`` allows: it says what graph a build would make.

    The schedules of a GPU are not tuned.
    """
    for name in target.recipes.allowed:
        recipe = load_recipe(name)
        if recipe.engine == "tvm" and "device" not in recipe.options:
            return recipe
    raise UsageError(
        f"target {target.name!r} allows no recipe with TVM, and only TVM tunes",
        hint="See `edgepose targets`, or allow one in a target file of your own in ./targets.",
    )
