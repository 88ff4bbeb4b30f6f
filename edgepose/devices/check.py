"""One line of a doctor's report."""

from typing import Literal

import msgspec

Verdict = Literal["PASS", "INFO", "WARNING", "CRITICAL", "UNKNOWN"]


class Check(msgspec.Struct, frozen=True):
    """``fix`` is the next thing to do; empty where there is nothing to do."""

    name: str
    verdict: Verdict
    text: str
    fix: str = ""
