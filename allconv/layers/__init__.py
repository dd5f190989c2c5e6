"""What is known of Keras' layer classes from a configuration: kinds, shapes, ranges, costs."""
