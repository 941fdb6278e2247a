"""Streamlit: pages read, charts draw, nothing is computed here."""
