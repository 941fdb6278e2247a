"""One call from a configuration's source name and parameters to loaded data."""

from typing import Any

from bakeoff.catalogue import lookup
from recsys.data.parameters import check_parameters
from recsys.data.sources import SOURCES
from recsys.data.sources.loaded import Loaded


def load(source: str, **params: Any) -> Loaded:
    """The data of the source that SOURCES registers under this name; an unknown parameter is refused by name."""
    function = lookup(SOURCES, source, "source")
    check_parameters(function, params, f"source {source!r}")
    loaded: Loaded = function(**params)
    return loaded
