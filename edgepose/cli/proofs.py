"""A proof in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgepose.prove.proof import Proof


def proof_lines(proof: "Proof") -> list[str]:
    """The verdict, each output's worst figures, the key points' drift, and what failed."""
    lines = [f"proof {'passed' if proof.passed else 'FAILED'} on {proof.where}"]
    for tensor in proof.tensors:
        if not tensor.finite:
            lines.append(f"  {tensor.output}: NaN or Inf")
            continue
        lines.append(
            f"  {tensor.output}: relative error max {tensor.max_relative_error:.2g}, "
            f"mean {tensor.mean_relative_error:.2g}, cosine {tensor.cosine:.7f}"
        )
    points = proof.keypoints
    if points is None:
        lines.append("  key points: not judged, the weights are not trained or have no decoder")
    elif points.n_points == 0:
        lines.append("  key points: the reference sees none on the golden images")
    else:
        lines.append(
            f"  key points: drift mean {points.mean_px:.3g} px, max {points.max_px:.3g} px, "
            f"OKS {points.oks:.5f} over {points.n_points} points"
        )
    return lines + [f"  {failure}" for failure in proof.failures]
