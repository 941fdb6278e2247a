"""The HTTP service: assignment, recommendations, events, administration; `create_app` is handed all it needs."""
