"""Lightweight OpenPose: bottom-up, MobileNet, heatmaps and part affinity fields (2018)."""
