"""Blocks shared by more than one family of nets."""
