"""What a build depends on, as one hash: the key of the content-addressed cache."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from edgepose.files import sha256_bytes, sha256_file
from edgepose.places import models_source


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Hash of plain data and msgspec structs, the same for equal content."""
    plain = msgspec.to_builtins(parts)
    return sha256_bytes(json.dumps(plain, sort_keys=True).encode())[:24]


def source_hash(*names: str) -> str:
    """Hash of edgepose's own source files under ``names`` (modules or folders of the package)."""
    package = Path(__file__).parent
    paths = [path for name in names for path in _sources(package / name)]
    return _hash_files(paths, package)


def net_hash(builder: str) -> str:
    """Hash of the code behind ``models_src.<folder>.<module>:<function>``.

    A net imports its own folder and the shared layers, nothing else.
    """
    root = models_source()
    folder = builder.split(".")[1]
    paths = [*_sources(root / "layers"), *_sources(root / folder)]
    return _hash_files([path for path in paths if path.suffix == ".py"], root)


def package_version(name: str) -> str | None:
    """Version of an installed package, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _sources(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file())
    return sorted(file for file in found if "__pycache__" not in file.parts)


def _hash_files(paths: Iterable[Path], root: Path) -> str:
    listing = [(path.relative_to(root).as_posix(), sha256_file(path)) for path in paths]
    return sha256_bytes(json.dumps(listing).encode())
