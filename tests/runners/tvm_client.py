"""``tvm_client.py PORT ACTION FILE``: a tuner's side of a session.

``measure``: run and time the network FILE. ``call``: the functions of the library FILE in turn.
Prints JSON lines.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.modules["torch"] = None  # type: ignore[assignment]  # TVM would import it: seconds

import tvm  # noqa: E402
from tvm import rpc  # noqa: E402
from tvm.relax import VirtualMachine  # noqa: E402


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def measure(session: rpc.RPCSession, path: Path) -> None:
    say(health=json.loads(session.get_function("edgepose.health")()))
    session.upload(str(path), "candidate.so")
    machine = VirtualMachine(session.load_module("candidate.so"), session.cpu(0))
    array = np.load(path.parent / "input.npy")
    there = tvm.runtime.tensor(array, device=session.cpu(0))
    machine.set_input("main", there)
    machine.invoke_stateful("main")
    np.save(path.parent / "output.npy", machine.get_outputs("main").numpy())
    timer = machine.time_evaluator("main", session.cpu(0), number=3, repeat=4)
    say(seconds=list(timer(there).results))
    large = np.random.default_rng(0).standard_normal(1 << 21, np.float32)  # many blocks
    say(whole=bool((tvm.runtime.tensor(large, device=session.cpu(0)).numpy() == large).all()))
    for name in ("../candidate.so", "/etc/passwd", ".", ".hidden"):
        try:
            session.upload(bytearray(b"evil"), name)
            say(refused=None)
        except tvm.error.RPCError as error:
            say(refused=str(error).strip().splitlines()[-1])


def call(session: rpc.RPCSession, path: Path) -> None:
    session.upload(str(path), "functions.so")
    functions = session.load_module("functions.so")
    for name in ("chatter", "spin"):
        say(calling=name)
        functions[name]()


def main() -> None:
    port, action, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    session = rpc.connect("127.0.0.1", port, key="board")
    {"measure": measure, "call": call}[action](session, path)


if __name__ == "__main__":
    main()
