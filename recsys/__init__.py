"""Recommendations and how good they are offline. Knows nothing of experiments, traffic or MLflow."""
