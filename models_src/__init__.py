"""The nets themselves, one folder per family, each reading like its paper.

A family folder holds `net.py` (blocks, stages, net and one builder function that takes plain
numbers) and `variants.toml` (those numbers, one table per model). Blocks used by more than one
family live in `layers`. Nothing here imports edgepose.
"""
