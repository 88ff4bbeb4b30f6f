"""TVM on the CPU: ONNX through Relax to a shared library, tuned by MetaSchedule."""
