"""From outside tables to numbered, time-sorted arrays."""
