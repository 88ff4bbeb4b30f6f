"""HRNet: top-down, high resolution throughout (Sun et al., CVPR 2019)."""
