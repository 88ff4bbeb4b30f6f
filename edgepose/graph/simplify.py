"""Simplify an ONNX file: constants folded, dead nodes gone, batch norms in the weights."""

from pathlib import Path

from edgepose.errors import BuildError
from edgepose.graph.fold import fold_batch_norms


def simplify(source: Path, destination: Path) -> None:
    """Write the simplified ``source`` to ``destination``; outputs stay equal up to rounding.

    Raises BuildError where the simplifier cannot cope with the graph. ``read_graph`` checks the
    result.
    """
    import onnx
    import onnxslim

    try:
        model = onnxslim.slim(str(source))
    except Exception as error:
        raise BuildError(
            f"{source.name} cannot be simplified: {type(error).__name__}: {error}",
            hint="Export the model again, with constant folding.",
        ) from error
    model.ir_version = max(model.ir_version, 4)  # before 4, every weight had to be an input, too
    fold_batch_norms(model)
    onnx.save(model, str(destination))
