"""RTMDet: the one-stage person detector in front of RTMPose (Lyu et al., 2022)."""
