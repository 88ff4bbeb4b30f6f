"""``edgepose serve``: camera, pictures and videos in a browser, on this machine."""

import argparse
import sys

from edgepose.cli.common import Commands
from edgepose.cli.find_bundle import add_pipeline_options, pose_and_detector

_LOCAL = ("127.0.0.1", "localhost", "::1")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="see in a browser what a model finds")
    add_pipeline_options(parser)
    parser.add_argument("--host", default=_LOCAL[0], help=f"address (default: {_LOCAL[0]})")
    parser.add_argument(
        "--port", type=_port, default=8008, metavar="N", help="0: any free one (default: 8008)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.pose.pipeline import PipelineSettings
    from edgepose.serve.server import serve

    pose, detector = pose_and_detector(arguments)
    if arguments.host not in _LOCAL:
        print(
            f"warning: whoever can reach {arguments.host} can use this page; browsers give it "
            "no camera there, as the connection is not encrypted",
            file=sys.stderr,
        )
    serve(
        pose,
        detector,
        threads=arguments.threads,
        settings=PipelineSettings(detect_every=arguments.every),
        host=arguments.host,
        port=arguments.port,
        announce=_announce,
    )
    return 0


def _announce(address: str) -> None:
    print(f"{address}  (Ctrl-C ends it)", flush=True)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)
