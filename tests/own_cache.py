"""Caches of the tests' own, which share with the user's what is costly and the same for all."""

from pathlib import Path

from edgepose.places import user_cache

# ncnn as a library takes minutes to build; its source and TVM's runtime are downloads. Each lies
# under a hash of all that it was made from, so that sharing changes no test's outcome.
_SHARED = (
    *("ncnn-library", "ncnn-runner", "native-decoder", "sources", "tvm-programs", "tvm-runtime"),
)
_USERS = user_cache()  # read before any test sets EDGEPOSE_CACHE


def own_cache(folder: Path) -> str:
    """Make ``folder`` such a cache; returns it as a value for EDGEPOSE_CACHE."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _SHARED:
        (_USERS / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(_USERS / name)
    return str(folder)
