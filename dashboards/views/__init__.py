"""One script per page: each draws what `queries` brings, and computes nothing."""
