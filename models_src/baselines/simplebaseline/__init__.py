"""SimpleBaseline: top-down, ResNet and three deconvolutions (2018)."""
