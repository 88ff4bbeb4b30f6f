"""A small web page on this machine: camera, pictures and videos in, skeletons and timings out."""
