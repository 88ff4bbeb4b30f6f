"""Where data ships, and where users keep their own."""

import importlib.util
import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).parent


def shipped(kind: str) -> Path:
    """Folder of the data that ships with edgepose: ``targets``, ``recipes`` or ``tuning``.

    In a wheel it lies inside the package, in the source tree beside it.
    """
    packaged = _PACKAGE / "data" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind


def models_source() -> Path:
    """Folder of the ``models_src`` package, found without importing it."""
    spec = importlib.util.find_spec("models_src")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package models_src is not installed beside edgepose")
    return Path(next(iter(spec.submodule_search_locations)))


def user_config() -> Path:
    """The user's configuration folder; ``EDGEPOSE_CONFIG`` overrides it."""
    return Path(os.environ.get("EDGEPOSE_CONFIG") or platformdirs.user_config_dir("edgepose"))


def user_cache() -> Path:
    """The user's cache folder; ``EDGEPOSE_CACHE`` overrides it."""
    return Path(os.environ.get("EDGEPOSE_CACHE") or platformdirs.user_cache_dir("edgepose"))


def user_data() -> Path:
    """The user's data folder, for what cannot be made again; ``EDGEPOSE_DATA`` overrides it."""
    return Path(os.environ.get("EDGEPOSE_DATA") or platformdirs.user_data_dir("edgepose"))


def overlay(kind: str) -> list[Path]:
    """Folders that hold ``kind`` files, weakest first: shipped, user's, project's."""
    return [shipped(kind), user_config() / kind, Path.cwd() / kind]
