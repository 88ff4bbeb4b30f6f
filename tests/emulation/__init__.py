"""Loopback boards: a real arm64 user space under qemu-user behind a real OpenSSH server.

They prove the whole path to a device: cross-compiled code, deployment, the runner, the proof
and faults on the way. A time measured on one says nothing about any board.
"""
