"""A net's outputs as files that the host fetches. Python 3.6-safe."""

import hashlib
import os
from typing import Any, Dict

import numpy as np


def save_output(folder: str, case: str, name: str, array: Any) -> Dict[str, str]:
    """Write ``array`` as float32; returns ``output``, ``file`` (in ``folder``) and ``sha256``."""
    file = "%s.%s.npy" % (case, name.replace("/", "_"))
    path = os.path.join(folder, file)
    np.save(path, np.asarray(array, dtype=np.float32))
    with open(path, "rb") as saved:
        digest = hashlib.sha256(saved.read()).hexdigest()
    return {"output": name, "file": file, "sha256": digest}
