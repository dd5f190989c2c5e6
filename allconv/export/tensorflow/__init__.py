"""From a graph to operators: traced by TensorFlow, translated by tf2onnx."""
