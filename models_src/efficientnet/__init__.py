"""Compact EfficientNets: the classifiers behind EfficientHRNet's backbones (Neff et al., 2020)."""
