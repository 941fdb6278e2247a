"""A catalogue is a table from a name to the place of its code; nothing is imported before it is named."""

import difflib
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any


def lookup(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Import and return what `table` registers under `name`; `kind` names the table in the error.

    >>> lookup({"sqrt": "math:sqrt"}, "sqrt", "function")(9.0)
    3.0
    >>> lookup({"sqrt": "math:sqrt"}, "sqr", "function")
    Traceback (most recent call last):
        ...
    LookupError: unknown function 'sqr'; did you mean 'sqrt'? known: sqrt
    """
    check_name(table, name, kind)
    try:
        return resolve_name(table[name])
    except ModuleNotFoundError as missing:
        raise ImportError(f"{kind} {name!r} needs the package {missing.name!r}, which is not installed") from missing


def check_name(table: Mapping[str, Any], name: str, kind: str) -> str:
    """Return `name` if `table` has it, else raise a LookupError with the nearest name and the list."""
    if name in table:
        return name
    nearest = difflib.get_close_matches(name, table, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ";"
    raise LookupError(f"unknown {kind} {name!r}{hint} known: {', '.join(sorted(table)) or 'none'}")
