"""Lite-HRNet: top-down, parallel branches with conditional channel weighting (2021)."""
