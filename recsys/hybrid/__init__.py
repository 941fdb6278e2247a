"""Several models as one: fusion of their lists."""
