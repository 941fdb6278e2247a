"""Loops that are the algorithm, as machine code."""

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code by numba, made at its first call and kept on disk; it runs without the GIL."""
    try:
        import numba
    except ImportError as missing:
        raise ImportError("models, pipelines and exact search need numba: pip install 'bakeoff[train]'") from missing
    machine_code: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    return machine_code
