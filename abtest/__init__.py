"""Experiments on traffic: assignment, event log, statistics, decisions, simulation. Knows no recommender, no MLflow."""
