"""Write ``result.jsonl``: one object a line, a footer with the hash of all that precedes it."""

import hashlib
import json
import os
from typing import Any


class ResultFile:
    """Append-only lines, flushed one by one, so that a killed run shows how far it came."""

    def __init__(self, folder: str) -> None:
        self._file = open(os.path.join(folder, "result.jsonl"), "wb")  # noqa: SIM115 - open all along
        self._hash = hashlib.sha256()
        self._lines = 0

    def write(self, kind: str, **fields: Any) -> None:
        line = json.dumps(dict(fields, kind=kind), sort_keys=True).encode() + b"\n"
        self._put(line)
        self._hash.update(line)
        self._lines += 1

    def close(self) -> None:
        """Add the footer: only now is the file a result."""
        footer = {"kind": "footer", "lines": self._lines, "sha256": self._hash.hexdigest()}
        self._put(json.dumps(footer, sort_keys=True).encode() + b"\n")
        os.fsync(self._file.fileno())
        self._file.close()

    def _put(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
