"""Reading the JSON files of data sets: what is wrong with one is told with its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ConfigError
from edgepose.files import sha256_bytes


def read_json(path: Path) -> tuple[Any, str]:
    """The content of a JSON file, and its sha256. Raises ConfigError."""
    try:
        data = path.read_bytes()
        return msgspec.json.decode(data), sha256_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None


class Entry:
    """One object of a file's list, which knows how to name itself in an error."""

    def __init__(self, path: Path, what: str, index: int, data: Any) -> None:
        self._data: Mapping[str, Any] = data if isinstance(data, dict) else {}
        mark = f" (id {self._data['id']})" if "id" in self._data else ""
        self._name = f"{path}: {what} {index}{mark}"
        if not isinstance(data, dict):
            raise self.error("is not an object")

    def error(self, complaint: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self._name} {complaint}", hint=hint)

    def __contains__(self, field: str) -> bool:
        return field in self._data

    def value(self, field: str, hint: str = "") -> Any:
        """What ``field`` holds. Raises ConfigError where it is missing."""
        if field not in self._data:
            raise self.error(f"has no field {field!r}", hint)
        return self._data[field]

    def integer(self, field: str, default: int | None = None, hint: str = "") -> int:
        value = self._data.get(field, default)
        if value is None:
            self.value(field, hint)
        # Some tools write 1.0, and some "000000000785".
        try:
            whole = int(value)
        except (TypeError, ValueError):
            raise self.error(f"has {field!r} = {value!r}, which is not a whole number") from None
        if isinstance(value, float) and whole != value:
            raise self.error(f"has {field!r} = {value!r}, which is not a whole number")
        return whole

    def number(self, field: str, hint: str = "") -> float:
        return float(self.numbers(field, (), hint))

    def numbers(self, field: str, shape: tuple[int, ...], hint: str = "") -> NDArray[np.float64]:
        """A number, or nested lists of them, as an array of ``shape``; all finite."""
        value = self.value(field, hint)
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            array = np.array([np.nan, np.nan])
        if array.shape != shape or not np.isfinite(array).all():
            wanted = f"{' × '.join(map(str, shape))} numbers" if shape else "a number"
            got = str(value)
            raise self.error(
                f"has {field!r} = {got if len(got) < 60 else got[:57] + '…'}, not {wanted}", hint
            )
        return array
