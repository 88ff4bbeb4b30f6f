"""RTMPose: top-down, CSPNeXt backbone and a SimCC head with one attention unit (2023)."""
