"""How far outputs are from the golden ones, per tensor. Runs on the device and on the host.

Python 3.6-safe: standard library and numpy only.
"""

from typing import Any, Dict, Iterable, List

import numpy as np

Drift = Dict[str, Any]


def tensor_drift(reference: Any, output: Any) -> Drift:
    """Compare two float tensors of one shape.

    Returns a dict: ``max_relative_error`` = max|y - r| / max|r|, ``mean_relative_error`` =
    mean|y - r| / mean|r|, ``cosine`` in [-1, 1], ``finite`` (no NaN, no Inf in ``output``).
    Where ``output`` is not finite the three figures are None.
    """
    expected = np.asarray(reference, dtype=np.float64).ravel()
    actual = np.asarray(output, dtype=np.float64).ravel()
    if expected.shape != actual.shape:
        raise ValueError("%r values where %r were expected" % (actual.shape, expected.shape))
    if not np.isfinite(actual).all():
        return {
            "max_relative_error": None,
            "mean_relative_error": None,
            "cosine": None,
            "finite": False,
        }
    difference = np.abs(actual - expected)
    tiny = np.finfo(np.float64).tiny
    norms = np.linalg.norm(actual) * np.linalg.norm(expected)
    both_zero = not actual.any() and not expected.any()
    return {
        "max_relative_error": float(difference.max() / max(np.abs(expected).max(), tiny)),
        "mean_relative_error": float(difference.mean() / max(np.abs(expected).mean(), tiny)),
        "cosine": 1.0 if both_zero else float(actual.dot(expected) / max(norms, tiny)),
        "finite": True,
    }


def worst(drifts: Iterable[Drift]) -> Drift:
    """The worst of several cases of one output: largest errors, smallest cosine."""
    drifts = list(drifts)
    if not all(drift["finite"] for drift in drifts):
        return next(drift for drift in drifts if not drift["finite"])
    return {
        "max_relative_error": max(drift["max_relative_error"] for drift in drifts),
        "mean_relative_error": max(drift["mean_relative_error"] for drift in drifts),
        "cosine": min(drift["cosine"] for drift in drifts),
        "finite": True,
    }


def failures(name: str, drift: Drift, gate: Dict[str, float]) -> List[str]:
    """What of ``drift`` exceeds the limits in ``gate``, as sentences with both figures."""
    if not drift["finite"]:
        return ["output %r holds NaN or Inf" % name]
    found = []
    for key in ("max_relative_error", "mean_relative_error"):
        if not drift[key] <= gate[key]:
            found.append(
                "output %r: %s %.3g exceeds %.3g"
                % (name, key.replace("_", " "), drift[key], gate[key])
            )
    if not drift["cosine"] >= gate["min_cosine"]:
        found.append(
            "output %r: cosine %.6f is below %.6f" % (name, drift["cosine"], gate["min_cosine"])
        )
    return found
