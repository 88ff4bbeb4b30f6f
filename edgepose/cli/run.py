"""``edgepose run IMAGE|FOLDER|VIDEO|CAMERA --model M``: find people, draw and save them."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from edgepose.cli.common import Commands, add_json, positive, print_json
from edgepose.cli.find_bundle import add_pipeline_options, pose_and_detector
from edgepose.cli.run_summary import Tally, print_summary, progress_text, summarise
from edgepose.errors import UsageError

if TYPE_CHECKING:
    from edgepose.bundle import Bundle
    from edgepose.frames.sink import Sink
    from edgepose.frames.source import FramePicture, Source
    from edgepose.frames.window import Window
    from edgepose.pose.keypoint_sets import KeypointSet
    from edgepose.pose.pipeline import Pipeline

_INTERRUPTED = 130


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("run", help="find the people in pictures, videos or a camera")
    parser.add_argument(
        "input",
        metavar="IMAGE|FOLDER|VIDEO|CAMERA",
        help="a camera is a number, /dev/video0 or a URL",
    )
    add_pipeline_options(parser)
    parser.add_argument(
        "--save",
        action="append",
        default=[],
        metavar="FILE",
        help="out.mp4, out.png, a folder for pictures, or out.json for COCO results; "
        "may be given several times",
    )
    parser.add_argument("--show", action="store_true", help="show the frames in a window")
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--no-smooth",
        action="store_true",
        help="show the points of a video as they are found, not smoothed over time",
    )
    parser.add_argument("--boxes", action="store_true", help="draw the people's boxes as well")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.frames.sink import open_sink
    from edgepose.frames.source import open_source
    from edgepose.frames.window import open_window

    with ExitStack() as open_things:
        source = open_things.enter_context(open_source(arguments.input))
        _refuse_overwriting(arguments.input, arguments.save)
        sinks = [open_sink(text, source) for text in arguments.save]
        window = open_things.enter_context(open_window()) if arguments.show else None
        pose, detector = pose_and_detector(arguments)
        job = _Job(source, _pipeline(pose, detector, source, arguments), sinks, window)
        interrupted = job.go(pose, arguments)
    for note in source.notes:
        print(f"note: {note}", file=sys.stderr)
    saved = [str(sink.path) for sink in sinks] if job.tally.frames else []
    summary = summarise(job.tally, source, pose, detector, saved)
    if arguments.json:
        print_json(summary)
    else:
        print_summary(summary)
    return _INTERRUPTED if interrupted else 0


def _pipeline(
    pose: "Bundle", detector: "Bundle | None", source: "Source", arguments: argparse.Namespace
) -> "Pipeline":
    from edgepose.pose.pipeline import Pipeline, PipelineSettings

    film = source.kind in ("video", "camera")
    settings = PipelineSettings(
        detect_every=arguments.every if film else 1,
        track=film,
        smooth=film and not arguments.no_smooth,
    )
    return Pipeline.from_bundles(pose, detector, threads=arguments.threads, settings=settings)


def _refuse_overwriting(source: str, saves: list[str]) -> None:
    read = Path(source)
    for text in saves:
        path = Path(text)
        if path.is_dir() and read.is_file():
            path /= f"{read.stem}.png"  # as a folder names a picture
        if path.exists() and read.exists() and path.samefile(read):
            raise UsageError(
                f"{path} is what is read, so it is not written over", hint="Save to another name."
            )


@dataclass
class _Job:
    """From the source through the pipeline to the sinks and the window."""

    source: "Source"
    pipeline: "Pipeline"
    sinks: "list[Sink]"
    window: "Window | None"
    tally: Tally = field(default_factory=Tally)

    def go(self, pose: "Bundle", arguments: argparse.Namespace) -> bool:
        """Work until the source ends; whether Ctrl-C came first. The sinks are whole then."""
        from edgepose.cli.live_line import LiveLine
        from edgepose.pose.draw import DrawStyle
        from edgepose.pose.keypoint_sets import keypoint_set

        style = DrawStyle(self.pipeline.settings.keypoint_threshold, boxes=arguments.boxes)
        points = keypoint_set(pose.manifest.model)
        count = min(filter(None, (self.source.count, arguments.limit)), default=None)
        with ExitStack() as at_end, interrupt_once() as interrupted:
            begun_s = time.perf_counter()
            with LiveLine(quiet=arguments.quiet) as line:
                for picture in self._pictures():
                    if not self.tally.frames:
                        for sink in self.sinks:
                            at_end.callback(sink.close)
                    self._work(picture, points, style)
                    self.tally.wall_s = time.perf_counter() - begun_s
                    line.show(
                        lambda: progress_text(self.tally, count),
                        self.tally.frames / count if count else None,
                    )
                    closed = self.window is not None and self.window.closed
                    if interrupted() or closed or self.tally.frames == arguments.limit:
                        break
            with self.tally.timed("save"):
                at_end.close()
            self.tally.wall_s = time.perf_counter() - begun_s
            return interrupted()

    def _pictures(self) -> "Iterator[FramePicture]":
        pictures = iter(self.source)
        while True:
            with self.tally.timed("read"):
                picture = next(pictures, None)
            if picture is None:
                return
            yield picture

    def _work(self, picture: "FramePicture", points: "KeypointSet", style: Any) -> None:
        from edgepose.pose.draw import draw

        if picture.time_s is None:
            self.pipeline.reset()  # two pictures of a folder are two films
        # Before this frame is counted: its time is not in the whole yet.
        note = f"{self.tally.fps:.1f} fps" if picture.time_s and self.tally.fps else ""
        frame = self.pipeline.process(picture.image, picture.time_s)
        self.tally.count(frame)
        drawn = None
        if self.window or any(sink.draws for sink in self.sinks):
            with self.tally.timed("draw"):
                drawn = draw(picture.image, frame.people, points, style, note)
        with self.tally.timed("save"):
            for sink in self.sinks:
                sink.take(picture, frame.people, drawn)
        if self.window and drawn is not None:
            with self.tally.timed("show"):
                self.window.show(drawn)


@contextmanager
def interrupt_once() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C only makes the yielded function true, so that a frame is finished and a
    video gets its end; the second one interrupts.
    """
    came = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
