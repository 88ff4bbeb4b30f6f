"""The Python runner: Python 3.6-safe, standard library, numpy and the engine's own package.

Packed into one file, ``runner.pyz``, by ``edgepose.runners.pack``.
"""
