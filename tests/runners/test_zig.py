"""zig's own spelling of an arm64 CPU: its compiler ignores what it does not know."""

import pytest

from edgepose.runners.zig import translated


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("-march=armv8-a", "-mcpu=generic+v8a"),
        ("-march=armv8.2-a", "-mcpu=generic+v8_2a"),
        ("-march=armv8.2-a+fp16", "-mcpu=generic+v8_2a+fullfp16"),
        ("-march=armv8.2-a+fp16+dotprod", "-mcpu=generic+v8_2a+fullfp16+dotprod"),
        ("-march=armv8.2-a+fp16+fp16fml", "-mcpu=generic+v8_2a+fullfp16+fp16fml"),
        ("-march=armv8.4-a+fp16+dotprod+bf16", "-mcpu=generic+v8_4a+fullfp16+dotprod+bf16"),
        ("-march=armv9-a", "-mcpu=generic+v9a"),
        ("-march=native", "-march=native"),
        ("-mcpu=generic", "-mcpu=generic"),
        ("-O3", "-O3"),
        ("armv8.2-a+fp16.c", "armv8.2-a+fp16.c"),
    ],
)
def test_only_an_armv8_architecture_is_spelled_anew(given: str, wanted: str) -> None:
    assert translated(given) == wanted
