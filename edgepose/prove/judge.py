"""The verdict on an artifact's outputs: tensor space always, key-point space where trained."""

from collections.abc import Mapping, Sequence

from edgepose.prove.golden_data import Arrays, Golden
from edgepose.prove.keypoints import combine, judge_keypoints, keypoint_drift
from edgepose.prove.proof import KeypointFigures, Proof, TensorDrift
from edgepose.recipes import Gates
from edgepose.runners.python.tensor_drift import failures, tensor_drift, worst
from edgepose.zoo import ModelSpec


def judge(
    spec: ModelSpec,
    cases: Sequence[Golden],
    outputs: Mapping[str, Arrays],
    gates: Gates,
    *,
    trained: bool,
    where: str,
) -> Proof:
    """Compare ``outputs`` (by case, by tensor) with the golden ones.

    ``where`` says which machine made the outputs. The figures per tensor are the worst of all
    cases. Key points are judged where the weights are trained and the decoder is known.
    """
    limits = {
        "max_relative_error": gates.tensor.max_relative_error,
        "mean_relative_error": gates.tensor.mean_relative_error,
        "min_cosine": gates.tensor.min_cosine,
    }
    tensors, problems = [], []
    for name in cases[0].outputs:
        drift = worst(tensor_drift(case.outputs[name], outputs[case.name][name]) for case in cases)
        tensors.append(TensorDrift(output=name, **drift))
        problems += failures(name, drift, limits)
    keypoints: KeypointFigures | None = None
    if trained and spec.decoder is not None and all(tensor.finite for tensor in tensors):
        drifts = [keypoint_drift(spec, case.outputs, outputs[case.name]) for case in cases]
        keypoints = combine(drifts)
        problems += judge_keypoints(keypoints, gates.keypoint)
    return Proof(
        passed=not problems,
        tensors=tuple(tensors),
        keypoints=keypoints,
        failures=tuple(problems),
        weights="trained" if trained else "untrained",
        where=where,
    )
