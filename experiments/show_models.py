"""The catalogue of models in a terminal: what there is, and what one of them does."""

import dataclasses
import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bakeoff.catalogue import lookup
from recsys.models import MODELS


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of the catalogue. missing: why it cannot be used here, or empty."""

    name: str
    family: str = ""
    meaning: str = ""
    needs: tuple[str, ...] = ()
    source: str = ""
    folds_in: bool = False
    scores_new_items: bool = False
    params: tuple[tuple[str, Any], ...] = ()
    doc: str = ""
    missing: str = ""


def entry(name: str) -> Entry:
    """What the catalogue says of one model."""
    try:
        model = lookup(MODELS, name, "model")
    except ImportError as missing:
        return Entry(name=name, missing=str(missing))
    doc = inspect.getdoc(model) or ""
    return Entry(
        name=name,
        family=model.family,
        meaning=doc.split("\n\n")[0].replace("\n", " "),
        needs=model.needs,
        source=model.source,
        folds_in=model.folds_in,
        scores_new_items=model.scores_new_items,
        params=tuple((f.name, _default(f)) for f in dataclasses.fields(model) if f.init),
        doc=doc,
    )


def entries(family: str | None = None) -> list[Entry]:
    """The whole catalogue in its order, or one family of it."""
    found = [entry(name) for name in MODELS]
    families = sorted({row.family for row in found} - {""})
    if family is not None and family not in families:
        raise ValueError(f"unknown family {family!r}; known: {', '.join(families)}")
    return [row for row in found if family in (None, row.family)]


def catalogue(console: Console, rows: Iterable[Entry], as_json: bool) -> None:
    """A row per model: name, family, what it needs beyond the package itself, whom it serves, who described it."""
    if as_json:
        console.print_json(json.dumps([dataclasses.asdict(row) for row in rows]))
        return
    table = Table(title="Models")
    for column in ("model", "family", "needs", "new users", "new items", "source"):
        table.add_column(column)
    for row in rows:
        if row.missing:
            table.add_row(row.name, "-", "-", "-", "-", escape(row.missing))
        else:
            served = ("yes" if row.folds_in else "no", "yes" if row.scores_new_items else "no")
            table.add_row(row.name, row.family, ", ".join(row.needs) or "-", *served, escape(row.source))
    console.print(table)
    console.print(
        "needs: an extra, pip install 'bakeoff[EXTRA]'. new users: served from a history that training did not see. "
        "new items: scored from their features.\n"
        "`bakeoff models describe MODEL` tells how one works, and its parameters."
    )


def description(console: Console, row: Entry, as_json: bool) -> None:
    """One model: how it works, and its parameters with their defaults."""
    if as_json:
        console.print_json(json.dumps(dataclasses.asdict(row)))
        return
    if row.missing:
        raise ImportError(row.missing)
    console.print(f"[bold]{row.name}[/bold]  {row.family}; {escape(row.source)}\n")
    console.print(row.doc, markup=False, highlight=False)
    table = Table(title="Parameters")
    table.add_column("parameter")
    table.add_column("default")
    for name, default in row.params:
        table.add_row(name, escape(str(default)))
    console.print(table)
    console.print(f"Its search space: configs/search/{row.name}.yaml", markup=False)


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else "needed"
