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


def family_hash(family: str) -> str:
    """Hash of a model family's source files and the shared layers."""
    root = models_source()
    return _hash_files([*_sources(root / "layers"), *_sources(root / family)], root)


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
