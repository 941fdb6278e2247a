"""Parameters by name, as a configuration gives them, checked against the function they are for."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def check_parameters(function: Callable[..., Any], params: Mapping[str, Any], what: str, given: int = 0) -> None:
    """Refuse parameters that `function` does not have, and the lack of those it needs; `what` names it in the error.

    given: how many leading arguments the caller passes itself.

    >>> check_parameters(lambda *, folder: None, {"foldr": "a"}, "source 'x'")
    Traceback (most recent call last):
        ...
    ValueError: source 'x' has no parameter 'foldr'; did you mean 'folder'? it has: folder
    """
    own = list(inspect.signature(function).parameters.values())[given:]
    check_keys(params, [p.name for p in own], what)
    missing = [p.name for p in own if p.default is p.empty and p.name not in params]
    if missing:
        raise ValueError(f"{what} needs the parameter {missing[0]!r}; got {', '.join(params) or 'none'}")


def check_keys(given: Iterable[str], allowed: Iterable[str], what: str) -> None:
    """Refuse a key that is not allowed, with the nearest one and the list."""
    known = list(allowed)
    for key in given:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ";"
            raise ValueError(f"{what} has no parameter {key!r}{hint} it has: {', '.join(known) or 'none'}")


def check_whole(name: str, value: int, least: int) -> None:
    """Refuse a parameter that is no integer or below `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
