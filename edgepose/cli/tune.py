"""``edgepose tune MODEL``: search for the fastest kernels on real boards; share what was found."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from edgepose.cli.common import Commands, add_json, positive, print_json, print_table, seconds
from edgepose.errors import RecordsError, UsageError

if TYPE_CHECKING:
    from edgepose.engines.tvm.records import Records
    from edgepose.tuning.cost import Cost
    from edgepose.tuning.session import TuningResult

_USES = """\
MODEL is a name of the zoo or the path of an ONNX file. In its place:
  list                     the databases on this host
  export MODEL -o FILE     write the best database for MODEL and --target into one file
  import FILE              merge such a file into your own databases

The same command again goes on where an earlier one was stopped, by whatever: --trials counts
what is there already. `edgepose build` uses what was found by itself.
"""


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "tune",
        help="search for the fastest kernels on boards (TVM)",
        epilog=_USES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="MODEL|list|export|import", help="see below")
    parser.add_argument("rest", nargs="*", metavar="MODEL|FILE", help="for export and import")
    parser.add_argument("--target", default="host", help="kind of hardware (default: host)")
    parser.add_argument(
        "--device",
        default="local",
        metavar="NAME[,NAME…]",
        help="the boards that measure, all of the target (default: local)",
    )
    parser.add_argument(
        "--trials", type=positive, metavar="N", help="how many in the end (default: 1000)"
    )
    parser.add_argument("--time", type=seconds, metavar="TIME", help="stop after 90s, 5m or 2h")
    parser.add_argument(
        "--tasks",
        default="",
        metavar="PART[,PART…]",
        help="only tasks with one of these in their name",
    )
    parser.add_argument(
        "--proxy", choices=("host",), help="let this host stand in for the target's CPU"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list the tasks and say how long it will take"
    )
    parser.add_argument("-o", "--into", type=Path, metavar="FILE", help="where an export goes")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    action = {"list": _list, "export": _export, "import": _import}.get(arguments.what)
    wanted = {"list": 0, "export": 1, "import": 1}.get(arguments.what, 0)
    if len(arguments.rest) != wanted:
        raise UsageError(
            f"`edgepose tune {arguments.what}` takes {wanted or 'no'} further "
            f"name{'s' * (wanted != 1)}, not {len(arguments.rest)}",
            hint="See `edgepose tune --help`.",
        )
    signal.signal(signal.SIGTERM, _terminated)  # so that the boards are released
    return (action or _tune)(arguments)


def _tune(arguments: argparse.Namespace) -> int:
    from edgepose.tuning.session import DEFAULT_TRIALS, tune

    if arguments.dry_run:
        return _dry_run(arguments)
    result = tune(
        arguments.what,
        arguments.target,
        _names(arguments.device),
        trials=arguments.trials or DEFAULT_TRIALS,
        time_s=arguments.time,
        tasks=_names(arguments.tasks),
        proxy=arguments.proxy is not None,
        on_event=_progress(arguments),
    )
    if arguments.json:
        print_json(result)
    else:
        _print_result(result, arguments)
    return 0


def _dry_run(arguments: argparse.Namespace) -> int:
    from edgepose.tuning.cost import probe
    from edgepose.tuning.session import DEFAULT_TRIALS

    cost = probe(
        arguments.what,
        arguments.target,
        _names(arguments.device),
        trials=arguments.trials or DEFAULT_TRIALS,
        tasks=_names(arguments.tasks),
        proxy=arguments.proxy is not None,
        on_event=_progress(arguments),
    )
    if arguments.json:
        print_json(cost)
    else:
        _print_cost(cost)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from edgepose.engines.tvm.records import all_records

    found = all_records()
    if arguments.json:
        print_json([{"folder": each.folder, "about": each.about} for each in found])
        return 0
    print_table(
        ["model", "targets", "origin", "trials", "failed", "tasks", "devices", "TVM", "folder"],
        [_listed(each) for each in found],
    )
    return 0


def _listed(records: "Records") -> list[Any]:
    about = records.about
    return [
        about.model,
        ", ".join(about.targets),
        about.origin + (" (emulated)" if about.emulated else ""),
        records.trials,
        records.failed,
        len(records.best.workloads),
        ", ".join(about.devices),
        about.tvm_version,
        records.folder,
    ]


def _export(arguments: argparse.Namespace) -> int:
    from edgepose.engines.tvm.records import best_records
    from edgepose.tuning.exchange import export_records
    from edgepose.tuning.subject import find_subject

    if arguments.into is None:
        raise UsageError("an export needs a file", hint="Name one: `-o FILE`.")
    model = arguments.rest[0]
    subject = find_subject(model, arguments.target)
    records = best_records(subject.graph_hash, arguments.target)
    if records is None:
        raise RecordsError(
            f"there are no tuning records of {model} for {arguments.target}",
            hint=f"Tune it: `edgepose tune {model} --target {arguments.target}`.",
        )
    about = export_records(records, arguments.into)
    if arguments.json:
        print_json(about)
    else:
        print(f"{arguments.into}: {about.trials} trials of {about.model}, {about.origin}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from edgepose.tuning.exchange import import_records

    about, new = import_records(Path(arguments.rest[0]))
    if arguments.json:
        print_json(about)
    else:
        print(
            f"{new} new trials of {about.model} for {', '.join(about.targets)}: "
            f"{about.trials} in all ({about.origin})"
        )
    return 0


def _progress(arguments: argparse.Namespace) -> Any:
    from edgepose.tuning.progress import line

    def show(event: dict[str, Any]) -> None:
        text = line(event)
        if text and not arguments.quiet:
            print(text, file=sys.stderr)

    return show


def _print_result(result: "TuningResult", arguments: argparse.Namespace) -> None:
    from edgepose.deadline import duration_text
    from edgepose.tuning.progress import latency_text

    about = result.about
    failed = f", {about.failed} failed" if about.failed else ""
    latency = latency_text(result.estimate_ms, result.tasks_missing)
    unit, whose, which = (
        (",", "their", "chosen ") if arguments.tasks else (" an inference", "the", "")
    )
    print(
        f"{about.model} for {arguments.target}: {latency}{unit} "
        f"by the best times of its {result.tasks} {which}task{'s' * (result.tasks > 1)}"
    )
    print(
        f"  {about.trials} trials{failed}, {100 * result.share:.0f} % of {whose} operations, "
        f"{duration_text(result.elapsed_s)}; ended by {result.why}"
    )
    print(f"  {result.folder}")
    if about.emulated:
        print("  measured under emulation: these times say nothing of the board's")
    print(f"next: edgepose build {arguments.what} --target {arguments.target}")


def _print_cost(cost: "Cost") -> None:
    from edgepose.deadline import duration_text

    print_table(
        ["task", "times", "MFLOP", "share"],
        [
            [task.name, task.weight, f"{task.flops / 1e6:.2f}", f"{task.share:.1%}"]
            for task in cost.tasks
        ],
    )
    print(
        f"{cost.trials} trials: about {duration_text(cost.seconds)} "
        f"({cost.trial_s:.2f} s a trial, seen in {cost.probed} trials on {', '.join(cost.devices)})"
    )


def _names(text: str) -> Sequence[str]:
    return [name for name in text.split(",") if name]


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
