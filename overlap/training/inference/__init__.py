"""Inference graphs: the networks of members in ONNX, which predict without a training framework."""
