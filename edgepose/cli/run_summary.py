"""What a run did: added up frame by frame, and told at its end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgepose.cli.common import print_fields, print_table

if TYPE_CHECKING:
    from edgepose.bundle import Bundle
    from edgepose.frames.source import Source
    from edgepose.pose.pipeline import Frame

_NAMED = 3  # stages in the line of progress, those that take most
_ORDER = ("read", "preprocess", "detector", "network", "decode", "track", "draw", "save", "show")


@dataclass
class Tally:
    """What a run adds up: milliseconds by stage, the source and the sinks among them."""

    frames: int = 0
    detections: int = 0
    found: int = 0
    ids: set[int] = field(default_factory=set)
    stages_ms: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0

    def book(self, stage: str, ms: float) -> None:
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + ms

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        begun_s = time.perf_counter()
        try:
            yield
        finally:
            self.book(stage, (time.perf_counter() - begun_s) * 1e3)

    def count(self, frame: "Frame") -> None:
        self.frames += 1
        self.detections += frame.detected
        self.found += len(frame.people)
        self.ids |= {person.id for person in frame.people if person.id is not None}
        for stage, ms in frame.stages_ms.items():
            self.book(stage, ms)

    @property
    def fps(self) -> float:
        return self.frames / self.wall_s if self.wall_s else 0.0


def progress_text(tally: Tally, count: int | None) -> str:
    """Frames, frames per second, and the stages that take the largest shares."""
    total_ms = sum(tally.stages_ms.values()) or 1.0
    largest = sorted(tally.stages_ms.items(), key=lambda item: -item[1])[:_NAMED]
    shares = ", ".join(f"{stage} {ms / total_ms:.0%}" for stage, ms in largest)
    of = f"/{count}" if count else ""
    return f"frame {tally.frames}{of}  {tally.fps:.1f} fps  ({shares})"


def summarise(
    tally: Tally,
    source: "Source",
    pose: "Bundle",
    detector: "Bundle | None",
    saved: Sequence[str],
) -> dict[str, Any]:
    """Plain data. ``people`` counts distinct ids where people were followed, else all found;
    milliseconds are a frame's mean, and their shares of the whole run's time.
    """
    frames = max(1, tally.frames)
    wall_ms = tally.wall_s * 1e3
    stages = {
        stage: {
            "ms": tally.stages_ms[stage] / frames,
            "share": tally.stages_ms[stage] / wall_ms if wall_ms else 0.0,
        }
        for stage in _ORDER
        if tally.stages_ms.get(stage)
    }
    return {
        "source": source.name,
        "model": pose.name,
        "detector": detector.name if detector else None,
        "trained": all(one.manifest.weights.trained for one in (pose, detector) if one),
        "frames": tally.frames,
        "detector_frames": tally.detections,
        "people": len(tally.ids) or tally.found,
        "people_per_frame": tally.found / frames,
        "fps": tally.fps,
        "wall_s": tally.wall_s,
        "stages": stages,
        "saved": list(saved),
        "notes": source.notes,
    }


def print_summary(summary: dict[str, Any]) -> None:
    fields = [
        ("model", summary["model"]),
        ("frames", summary["frames"]),
        ("people", f"{summary['people']} ({summary['people_per_frame']:.1f} a frame)"),
        ("speed", f"{summary['fps']:.1f} fps, {summary['wall_s']:.2f} s"),
    ]
    if summary["detector"]:
        runs = f"{summary['detector']}, in {summary['detector_frames']} frames"
        fields.insert(1, ("detector", runs))
    if summary["saved"]:
        fields.append(("saved", summary["saved"]))
    print_fields(fields)
    print()
    print_table(
        ["stage", "ms a frame", "share"],
        [
            [stage, f"{figures['ms']:.2f}", f"{figures['share']:.1%}"]
            for stage, figures in summary["stages"].items()
        ],
    )
