"""Embedding models as servers run them: ONNX files, the variants that pass their checks, Triton repositories."""
