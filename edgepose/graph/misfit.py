"""How a checkpoint fails to be a net's weights; nothing here imports torch."""

from pathlib import Path

import msgspec

from edgepose.errors import WeightsError


class Misfit(msgspec.Struct, frozen=True):
    """Every key that keeps a checkpoint from being a net's weights; true where there is one."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        groups = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.reshaped,
        }
        return "; ".join(
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in groups.items()
            if names
        )


class MisfitError(WeightsError):
    """A weights file that is not this model's; ``misfit`` has all its keys that do not fit."""

    def __init__(self, path: Path, model: str, misfit: Misfit) -> None:
        super().__init__(
            f"{path} does not fit {model}: of its keys {misfit}",
            hint="Check that the checkpoint was trained for this model, size and data set.",
        )
        self.misfit = misfit
