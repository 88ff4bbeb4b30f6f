"""What TVM must know of a CPU, as data that both sides of a process boundary read."""

from typing import Any

import msgspec

from edgepose.errors import UsageError
from edgepose.targets import Target, load_target


class TvmTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A CPU in LLVM's words; ``cores`` run one inference, ``vector_bits`` is a register's width."""

    triple: str
    cpu: str
    cores: int
    vector_bits: int

    @property
    def block(self) -> int:
        """Floats in a vector register: how many channels the blocked layout keeps together."""
        return self.vector_bits // 32

    @property
    def arch(self) -> str:
        return self.triple.partition("-")[0]

    def to_config(self) -> dict[str, Any]:
        """The argument of ``tvm.target.Target``."""
        return {
            "kind": "llvm",
            "mtriple": self.triple,
            "mcpu": self.cpu,
            "num-cores": self.cores,
        }


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kernel of a lowered net; the net calls it ``weight`` times an inference."""

    name: str
    weight: int
    flops: float


def tvm_target(target: Target) -> TvmTarget:
    """The CPU of ``target``. Raises UsageError where its file does not name it in LLVM's words."""
    cpu = target.cpu
    if cpu.llvm is None or cpu.vector_bits is None:
        raise UsageError(
            f"the target {target.name!r} does not tell TVM its CPU",
            hint="Add `llvm` (a CPU's name, see `llc -mcpu=help`) and `vector_bits` to its [cpu].",
        )
    return TvmTarget(
        triple=f"{target.arch}-linux-gnu",
        cpu=cpu.llvm,
        cores=cpu.threads or len(cpu.fast_cores),
        vector_bits=cpu.vector_bits,
    )


def proxy_of(target: Target) -> TvmTarget:
    """This host's CPU, used as if it had the cores and the registers of ``target``."""
    there = tvm_target(target)
    return msgspec.structs.replace(
        tvm_target(load_target("host")), cores=there.cores, vector_bits=there.vector_bits
    )
