"""The annotations of any data set that edgepose can score."""

from pathlib import Path

from edgepose.evaluate.coco_file import read_coco
from edgepose.evaluate.datasets import DataSet
from edgepose.evaluate.mpii_file import read_mpii
from edgepose.evaluate.truth import Truth


def read_annotations(path: Path, dataset: DataSet) -> Truth:
    """Read a file of ``dataset``. Raises ConfigError for what is not one."""
    return read_mpii(path, dataset) if dataset.metric == "pckh" else read_coco(path, dataset)
