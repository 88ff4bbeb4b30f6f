"""Which edgepose this is: the commit of its source tree, where it runs from one."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def git_commit() -> str | None:
    """Commit of edgepose's own source tree, ``-dirty`` where files differ; None in a wheel."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
