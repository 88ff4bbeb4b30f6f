"""Nets that the papers compare themselves with."""
