"""Strict TOML and JSON to dataclasses: unknown keys are errors that name the valid ones."""

import difflib
import json
import logging
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from zipfile import Path as ZipPath

import msgspec

from edgepose.errors import ConfigError, UsageError
from edgepose.places import overlay

T = TypeVar("T")
_log = logging.getLogger(__name__)


def convert(data: Any, kind: type[T], source: str) -> T:
    """Turn plain ``data`` into ``kind`` (a msgspec struct).

    Raises ConfigError that names ``source``, the place and, for an unknown key, the valid keys.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        unknown = _first_unknown_key(data, msgspec.inspect.type_info(kind), "")
        if unknown is None:
            raise ConfigError(
                f"{source}: {error}", hint="Correct the value and try again."
            ) from None
        place, key, valid = unknown
        raise ConfigError(
            f"{source}: unknown key {key!r} in {place or 'the top level'}; "
            f"valid keys there: {', '.join(sorted(valid))}",
            hint=_did_you_mean(key, valid) or "Remove the key.",
        ) from None


def load_toml(path: Path, kind: type[T]) -> T:
    """Read a TOML file into ``kind``. Raises ConfigError with the file's name and the place."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", hint="Correct the file.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return convert(data, kind, str(path))


def load_json(path: Path | ZipPath, kind: type[T]) -> T:
    """Read a JSON file into ``kind``. Raises ConfigError with the file's name and the place."""
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return convert(data, kind, str(path))


def find_overlaid(kind: str) -> dict[str, Path]:
    """Name → TOML file for ``targets`` or ``recipes``; a user's own file wins, with a notice."""
    found: dict[str, Path] = {}
    seen_folders: set[Path] = set()
    for folder in overlay(kind):
        if not folder.is_dir() or folder.resolve() in seen_folders:
            continue
        seen_folders.add(folder.resolve())
        for path in sorted(folder.glob("*.toml")):
            if path.stem in found:
                _log.warning("%s overrides the shipped %s %r", path, kind[:-1], path.stem)
            found[path.stem] = path
    return found


def pick(name: str, table: Mapping[str, T], what: str, see: str) -> T:
    """``table[name]``, or a UsageError with the nearest names."""
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=3, cutoff=0.4)
    nearest = f" Nearest: {', '.join(near)}." if near else ""
    raise UsageError(f"unknown {what} {name!r}.{nearest}", hint=f"See all with `{see}`.")


def _did_you_mean(key: str, valid: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(valid), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def _first_unknown_key(
    data: Any, kind: msgspec.inspect.Type, place: str
) -> tuple[str, str, list[str]] | None:
    """Walk ``data`` beside its type and return (place, key, valid keys) of the first stranger."""
    if isinstance(kind, msgspec.inspect.UnionType):
        structs = [t for t in kind.types if isinstance(t, msgspec.inspect.StructType)]
        if isinstance(data, dict) and structs:
            tagged = [t for t in structs if t.tag_field and data.get(t.tag_field) == t.tag]
            return _first_unknown_key(data, (tagged or structs)[0], place)
        others = [t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType)]
        return _first_unknown_key(data, others[0], place) if len(others) == 1 else None
    if isinstance(kind, msgspec.inspect.StructType) and isinstance(data, dict):
        fields = {field.encode_name: field.type for field in kind.fields}
        valid = [*fields, *([kind.tag_field] if kind.tag_field else [])]
        for key, value in data.items():
            if key not in valid:
                return place, key, valid
            if key in fields:
                found = _first_unknown_key(value, fields[key], f"{place}[{key}]")
                if found:
                    return found
    if isinstance(kind, msgspec.inspect.DictType) and isinstance(data, dict):
        for key, value in data.items():
            found = _first_unknown_key(value, kind.value_type, f"{place}[{key}]")
            if found:
                return found
    if isinstance(kind, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)) and isinstance(
        data, list
    ):
        for index, value in enumerate(data):
            found = _first_unknown_key(value, kind.item_type, f"{place}[{index}]")
            if found:
                return found
    return None
