"""HEViTPose: top-down, cascaded groups of spatially reduced attention (Wu et al., 2023)."""
