"""HigherHRNet: bottom-up, HRNet with finer heatmaps on top (Cheng et al., CVPR 2020)."""
