"""``edgepose report``: the latest table again, from the store."""

import argparse

from edgepose.cli.common import Commands


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("report", help="print the latest records as a table")
    parser.add_argument("--format", choices=("text", "md", "csv", "json"), default="text")
    parser.add_argument("--device", help="only this device's records")
    parser.add_argument("--model", help="only this model's records")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.bench.store import RecordStore
    from edgepose.errors import UsageError
    from edgepose.evaluate.store import evaluations_of
    from edgepose.report.tables import render, rows

    store = RecordStore()
    records = store.latest(device=arguments.device, model=arguments.model)
    if not records:
        raise UsageError(
            f"there are no such records in {store.path}", hint="Make some: `edgepose bench`."
        )
    evaluations = evaluations_of({record.bundle_id for record in records})
    print(render(rows(records, evaluations), arguments.format))
    return 0
