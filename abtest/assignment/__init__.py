"""Which variant a unit belongs to: pure, deterministic, the same everywhere."""
