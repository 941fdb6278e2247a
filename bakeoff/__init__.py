"""The ground floor: the few things every package may import. Imports none of them."""

__version__ = "0.1.0"
