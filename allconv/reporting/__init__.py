"""The parts of a report: the facts in rows, the looks, and plain tables."""
