"""What the cache of graphs depends on."""

import ast
from pathlib import Path

import edgepose
from edgepose.prepare import GRAPH_CODE

PACKAGE = Path(edgepose.__file__).parent


def test_the_key_of_a_graph_covers_all_of_pose_that_golden_data_and_proofs_use() -> None:
    places = [PACKAGE / name for name in GRAPH_CODE]
    assert all(place.exists() for place in places)
    covered = {file for place in places for file in files_in(place)}
    used = set(covered)
    waiting = list(covered)
    while waiting:
        new = pose_files(waiting.pop()) - used
        used |= new
        waiting += new
    assert {file.relative_to(PACKAGE) for file in used - covered} == set()
    assert PACKAGE / "pose" / "track.py" not in covered


def files_in(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


def pose_files(file: Path) -> set[Path]:
    """Modules of edgepose.pose that ``file`` imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = [
        PACKAGE.parent / name.replace(".", "/") for name in names if "edgepose.pose." in name
    ]
    candidates = [
        each for path in modules for each in (path.with_suffix(".py"), path / "__init__.py")
    ]
    return {path for path in candidates if path.is_file()}
