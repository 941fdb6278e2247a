"""The hinge: configuration, tracking, tuning, registry, promotion, serving. The one place where the two walls meet."""
