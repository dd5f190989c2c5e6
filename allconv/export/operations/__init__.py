"""The operators of the ONNX graph: laid out with channels first, fused, simplified."""
