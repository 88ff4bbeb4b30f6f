"""Names of CPU cores: arm64 kernels give numbers only."""

import re

# Implementer and part of the MIDR register (public vendor and kernel tables).
_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
    ("0x51", "0x800"): "Kryo 2xx Gold",
    ("0x51", "0x801"): "Kryo 2xx Silver",
    ("0x51", "0x802"): "Kryo 3xx Gold",
    ("0x51", "0x803"): "Kryo 3xx Silver",
    ("0x51", "0x804"): "Kryo 4xx Gold",
    ("0x51", "0x805"): "Kryo 4xx Silver",
}


def cpu_name(cpuinfo: str) -> str | None:
    """The kinds of core, in order of appearance; an unknown number is shown as it is."""
    pairs = re.findall(r"(?m)^([^:\n]+?)\s*:\s*(.*)$", cpuinfo)
    names = [value for key, value in pairs if key == "model name"]
    parts = [value.lower() for key, value in pairs if key == "CPU part"]
    implementers = [value.lower() for key, value in pairs if key == "CPU implementer"]
    if parts:
        names = [
            _PARTS.get(pair, f"implementer {pair[0]} part {pair[1]}")
            for pair in zip(implementers, parts, strict=False)
        ]
    return " + ".join(dict.fromkeys(name for name in names if name)) or None
