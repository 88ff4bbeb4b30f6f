"""From what a browser sent to what the page draws; called in the worker's thread."""

import time
from collections.abc import Callable, Generator
from pathlib import Path

from edgepose.errors import EdgePoseError
from edgepose.frames.pictures import decode_picture
from edgepose.frames.source import Image, open_source
from edgepose.pose.pipeline import Pipeline
from edgepose.serve.wire import EndText, ErrorText, FrameText, person_text


def look_at_jpeg(pipeline: Pipeline, data: bytes, time_s: float) -> FrameText | ErrorText:
    """A frame of the camera."""
    begun = time.perf_counter()
    try:
        image = decode_picture(data, "this frame of the camera")
        return _look(pipeline, image, time_s, begun)
    except EdgePoseError as error:
        return ErrorText(error=str(error), hint=error.hint)


def look_at_file(
    make_pipeline: Callable[[bool], Pipeline], path: Path
) -> Generator[FrameText | EndText | ErrorText, None, None]:
    """Every frame of a picture or video, then the end or an error, which names no folder.

    ``make_pipeline`` is told whether the frames are those of a film.
    """
    try:
        with open_source(str(path)) as source:
            pipeline = make_pipeline(source.kind == "video")
            count, begun = 0, time.perf_counter()
            for frame in source:
                yield _look(pipeline, frame.image, frame.time_s, begun)
                count += 1
                begun = time.perf_counter()
            yield EndText(frames=count, notes=source.notes)
    except EdgePoseError as error:
        yield ErrorText(error=str(error).replace(f"{path.parent}/", ""), hint=error.hint)


def _look(pipeline: Pipeline, image: Image, time_s: float | None, begun: float) -> FrameText:
    """``begun`` is when we began to read the picture, on the performance counter."""
    read_ms = (time.perf_counter() - begun) * 1000
    frame = pipeline.process(image, time_s)
    height, width = image.shape[:2]
    stages = {"read": read_ms, **frame.stages_ms}
    return FrameText(
        time_s=time_s or 0.0,
        width=width,
        height=height,
        people=[person_text(person) for person in frame.people],
        stages_ms={name: round(ms, 3) for name, ms in stages.items()},
        detected=frame.detected,
    )
