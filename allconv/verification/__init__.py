"""The parts of `verify`: inputs to draw, where to stop, what to measure, how exactly."""
