"""From a graph to a Keras model: layers made from their configuration, weights put in place."""
