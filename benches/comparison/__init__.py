"""The parts of `benches/compare`. Python's standard library alone."""
