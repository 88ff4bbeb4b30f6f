"""``python -m tests.tuning.try_candidates FOLDER``: real candidates, good and bad, built and timed.

Reports an event per candidate. Runs without torch, as the tuning process does.
"""

import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.process import Event, serve
from edgepose.tuning.settings import SearchSettings

SETTINGS = SearchSettings(
    run_timeout_s=3, build_timeout_s=30, repeats=1, board_wait_s=5, cool_down_s=1
)


def work(folder: Path, report: Callable[[Event], None]) -> None:
    import tvm

    from edgepose.tuning.candidate import Outcome
    from edgepose.tuning.pools import Builders, Measurers

    host = {"kind": "llvm", "mtriple": f"{platform.machine()}-linux-gnu"}
    target = tvm.target.Target(host)
    builders = Builders(1, folder, platform.machine(), SETTINGS)
    measurers = Measurers(1, folder, None, "", SETTINGS)
    nobody = Measurers(1, folder, 9, "no-board", SETTINGS)
    tensor = type("Info", (), {"dtype": "float32", "shape": (4,)})
    try:
        quick, endless = _kernel(tvm, 100), _kernel(tvm, 10**15)
        broken = tvm.IRModule({"main": quick["main"].with_attr("target", "no target")})
        for name, kernel, pool in (
            ("good", quick, measurers),
            ("endless", endless, measurers),
            ("good again", quick, measurers),
            ("without a board", quick, nobody),
            ("broken", broken, measurers),
        ):
            (built,) = builders.build([kernel], target)
            outcome = built
            if not isinstance(built, Outcome):
                outcome = pool.submit(built, [tensor, tensor], None).result()
            report({"event": name, "fault": outcome.at_fault, "text": outcome.text})
    finally:
        for each in (measurers, nobody, builders):
            each.close()


def _kernel(tvm: Any, rounds: int) -> Any:
    """Adds ``rounds`` sines up, for each of four numbers."""
    from tvm import te

    data = te.placeholder((4,), name="data")
    over = te.reduce_axis((0, rounds), name="over")
    total = te.compute((4,), lambda i: te.sum(te.sin(data[i] + over), axis=over), name="total")
    return tvm.IRModule({"main": te.create_prim_func([data, total])})


if __name__ == "__main__":
    fast_stack.install()
    sys.exit(serve(work, Path(sys.argv[1])))
