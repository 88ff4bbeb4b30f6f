"""What a tuning tells on the way, as lines of text. Pure."""

from edgepose.deadline import duration_text
from edgepose.engines.tvm.process import Event


def line(event: Event) -> str:
    """One line for ``event``, empty for one that says nothing to people."""
    kind = event["event"]
    if kind == "tasks":
        return _opening(event)
    if kind == "round":
        return _round(event)
    return ""


def latency_text(estimate_ms: float, missing: int) -> str:
    """``12.3 ms``, with how many tasks are not in it yet."""
    text = f"{estimate_ms:.{3 if estimate_ms < 1 else 2}f} ms"
    return f"{text} without {missing} untried task{'s' * (missing > 1)}" if missing else text


def _opening(event: Event) -> str:
    tasks, trials = event["tasks"], event["trials"]
    known = f", {trials} trials are known" if trials else ""
    return f"{len(tasks)} tasks{known}"


def _round(event: Event) -> str:
    best = event["task_best_ms"]
    failed = f", {event['failed']} failed" if event["failed"] else ""
    parts = [
        f"{duration_text(event['elapsed_s'])}: {event['trials']} trials{failed}",
        f"net {latency_text(event['estimate_ms'], event['tasks_missing'])}",
        f"{event['task']} {'has no success' if best is None else f'{best:.3g} ms'}"
        f" after {event['task_trials']}",
    ]
    if event["failure"]:
        parts.append(f"last failure: {event['failure']}")
    return " | ".join(parts)
