"""Simplify an ONNX file: constants folded, dead nodes gone, batch norms in the weights."""

from pathlib import Path

from edgepose.graph.fold import fold_batch_norms


def simplify(source: Path, destination: Path) -> None:
    """Write the simplified ``source`` to ``destination``; outputs stay equal up to rounding."""
    import onnx
    import onnxslim

    model = onnxslim.slim(str(source))
    model.ir_version = max(model.ir_version, 4)  # before 4, every weight had to be an input, too
    fold_batch_norms(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(destination))
