"""EfficientHRNet: bottom-up, EfficientNet under HigherHRNet, scaled as one (Neff et al., 2020)."""
