"""LitePose: bottom-up, single-branch, for edge devices (Wang et al., CVPR 2022)."""
