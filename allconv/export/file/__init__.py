"""The ONNX file: names and metadata, weights beside it, drafts, an audit."""
