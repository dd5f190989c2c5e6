"""The parts of `export_onnx`: through TensorFlow and tf2onnx to ONNX, cleaned and verified."""
