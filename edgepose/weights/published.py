"""The checkpoints that the original authors published, as the zoo names them."""

from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from edgepose.config import pick
from edgepose.download import download
from edgepose.errors import WeightsError
from edgepose.places import user_cache
from edgepose.zoo import ModelSpec, WeightsSource, model_spec, zoo


class Checkpoint(msgspec.Struct, frozen=True):
    """A published checkpoint; ``file`` is where `fetch_weights` keeps it, None for a drive's."""

    model: str
    name: str
    where: Literal["url", "drive"]
    address: str
    sha256_prefix: str | None
    file: Path | None
    fetched: bool


def list_weights(model: str | None = None) -> list[Checkpoint]:
    """The published checkpoints of one model, or of all. Raises UsageError."""
    specs = zoo().values() if model is None else [model_spec(model)]
    return [_checkpoint(spec, source) for spec in specs for source in spec.weights]


def fetch_weights(model: str, weights: str | None = None) -> Path:
    """Path of a published checkpoint of ``model``, downloaded unless the cache has it.

    ``weights`` is its name or a part of the name that only it has; default: the first one. Raises
    UsageError, WeightsError where it cannot be had, and DownloadError.
    """
    spec = model_spec(model)
    if not spec.weights:
        raise WeightsError(
            f"no weights of {model} were published",
            hint=f"Import your own: `edgepose weights import {model} FILE`.",
        )
    source = spec.weights[0] if weights is None else _pick(spec, weights)
    checkpoint = _checkpoint(spec, source)
    if checkpoint.file is None:
        raise WeightsError(
            f"{source.name} lies on a cloud drive, which only a browser can open: "
            f"{checkpoint.address}",
            hint=f"Get the file there, then `edgepose weights import {model} FILE`.",
        )
    download(checkpoint.address, checkpoint.file, source.sha256_prefix)
    return checkpoint.file


def _pick(spec: ModelSpec, wanted: str) -> WeightsSource:
    table = {source.name: source for source in spec.weights}
    matching = [source for name, source in table.items() if wanted in name]
    if wanted not in table and len(matching) == 1:
        return matching[0]
    return pick(wanted, table, f"checkpoint of {spec.name}", f"edgepose weights list {spec.name}")


def _checkpoint(spec: ModelSpec, source: WeightsSource) -> Checkpoint:
    file = _cache_file(source.url) if source.url else None
    return Checkpoint(
        model=spec.name,
        name=source.name,
        where="url" if source.url else "drive",
        # This form leads to files and to folders alike.
        address=source.url or f"https://drive.google.com/open?id={source.drive_id}",
        sha256_prefix=source.sha256_prefix,
        file=file,
        fetched=file is not None and file.is_file(),
    )


def _cache_file(url: str) -> Path:
    """The URL as a path, so that equal names of two servers or folders do not meet."""
    address = urlsplit(url)
    parts = [part for part in PurePosixPath(unquote(address.path)).parts if part not in ("/", "..")]
    return user_cache().joinpath("checkpoints", address.netloc, *parts)
