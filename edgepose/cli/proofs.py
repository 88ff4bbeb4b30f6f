"""A proof, what it took, and how far the artifact was tuned, in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgepose.bundle import Manifest
    from edgepose.prove.proof import Proof
    from edgepose.prove.rescue import Rescue


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


def rescue_lines(rescue: "Rescue") -> list[str]:
    """Which layers stay in single precision because the first proof failed, and their cost."""
    if not rescue.pinned:
        return [f"no rescue: {rescue.note} ({rescue.tried} trials)"]
    lines = [f"rescued by {len(rescue.pinned)} layers in FP32: {', '.join(rescue.pinned)}"]
    if rescue.cost:
        cost = rescue.cost
        lines.append(f"  {cost.without_ms:.3f} ms without them, {cost.pinned_ms:.3f} ms with them")
    return lines + [f"  {line}" for line in (rescue.note, *rescue.failures) if line]


def tuning_line(manifest: "Manifest") -> str:
    """``tuned: board (1000 trials, covers 98 % of the operations)``, or how to tune it."""
    tuning = manifest.tuning
    assert tuning, "asked for bundles that can be tuned only"
    if manifest.recipe.on_gpu:
        return f"tuned: no — {tuning.tuner} on the GPU, which `edgepose tune` does not know yet"
    command = f"edgepose tune {manifest.model.name} --target {manifest.target}"
    if tuning.tuned == "no":
        return f"tuned: no — scheduled by rule, not measured; `{command}`"
    figures = f"{tuning.trials} trials, covers {100 * tuning.tuned_share:.0f} % of the operations"
    if tuning.tuned == "proxy":
        return f"tuned: proxy ({figures}; not measured on the board); `{command}`"
    emulated = "; measured under emulation, which says nothing" if tuning.emulated else ""
    return f"tuned: board ({figures}{emulated})"
