"""Which packages of a toolchain are installed here, without importing any."""

from importlib.metadata import PackageNotFoundError, version

from edgepose.engines.base import ToolStatus


def check_packages(*names: str, extra: str) -> ToolStatus:
    """Status of the packages ``names``, which ``pip install 'edgepose[extra]'`` would bring."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    missing = tuple(name for name in names if name not in versions)
    return ToolStatus(
        available=not missing,
        versions=versions,
        missing=missing,
        fix=f"Install it with `pip install 'edgepose[{extra}]'`." if missing else "",
    )
