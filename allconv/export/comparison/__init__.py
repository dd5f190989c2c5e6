"""ONNX Runtime's numbers against Keras'."""
