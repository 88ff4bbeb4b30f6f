"""A tuner in small, in a process without torch: `python client.py PORT KEY ARCH CALLS`.

Takes boards from the tracker, one session per call; each uploads a function, checks its result,
times it, asks for the board's health. Prints a line of JSON per call.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import tvm
from tvm import rpc, te

TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}


def add_one(arch: str, folder: Path) -> Path:
    """A shared library whose ``add_one`` adds one to 1024 numbers."""
    a = te.placeholder((1024,), name="a", dtype="float32")
    b = te.compute((1024,), lambda i: a[i] + tvm.tirx.const(1, "float32"), name="b")
    function = te.create_prim_func([a, b]).with_attr("global_symbol", "add_one")
    module = tvm.IRModule({"add_one": function})
    target = tvm.target.Target({"kind": "llvm", "mtriple": TRIPLES[arch]})
    library = folder / "add_one.so"
    linker = tvm.support.cc.cross_compiler(f"{TRIPLES[arch]}-g++")
    tvm.compile(module, target).export_library(str(library), fcompile=linker)
    return library


def call(session: rpc.RPCSession, library: Path) -> dict[str, object]:
    session.upload(str(library))
    function = session.load_module(library.name)["add_one"]
    values = np.arange(1024, dtype="float32")
    a = tvm.runtime.tensor(values, session.cpu(0))
    b = tvm.runtime.tensor(np.zeros_like(values), session.cpu(0))
    function(a, b)
    timer = session.load_module(library.name).time_evaluator("add_one", session.cpu(0), number=3)
    return {
        "right": bool((b.numpy() == values + 1).all()),
        "mean_s": timer(a, b).mean,
        "health": json.loads(session.get_function("edgepose.health")()),
    }


def main() -> None:
    port, key, arch, calls = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    tracker = rpc.connect_tracker("127.0.0.1", port)
    with tempfile.TemporaryDirectory() as folder:
        library = add_one(arch, Path(folder))
        for _ in range(calls):
            session = tracker.request(key, session_timeout=60)
            print(json.dumps(call(session, library)), flush=True)
            del session


if __name__ == "__main__":
    main()
