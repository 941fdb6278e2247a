"""Explained slates in a terminal, or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.explanations import ExplainedSlate, Line


def explained(console: Console, slates: Sequence[ExplainedSlate], as_json: bool) -> None:
    """Each slate with its reasons; with the origins and features of a pipeline where there is one."""
    if as_json:
        console.out(json.dumps([_values(slate) for slate in slates], indent=2), highlight=False)
        return
    for slate in slates:
        last = "; ".join(slate.last) or "nothing"
        unknown = "" if slate.known else " (unknown: sees what everybody sees)"
        table = Table(title=escape(f"{slate.user}{unknown}"), caption=escape(f"touched last: {last}"))
        inside = any(line.named_by or line.added for line in slate.lines)
        columns = ("rank", "item", "why", "score", "without it", *(("named by", "what the ranker saw") * inside))
        for column in columns:
            table.add_column(column, justify="right" if column in ("rank", "score", "without it") else "left")
        for line in slate.lines:
            table.add_row(*map(escape, _cells(line, inside)))
        console.print(table)


def _cells(line: Line, inside: bool) -> list[str]:
    reason = line.reason
    cells = [str(line.rank), line.title, reason.words, _number(reason.score), _number(reason.score_without)]
    if inside:
        cells.append(", ".join(f"{name} {rank}" for name, rank in line.named_by.items()))
        cells.append(", ".join(f"{name} {added:+.2f}" for name, added in line.added.items()))
    return cells


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"


def _values(slate: ExplainedSlate) -> dict[str, Any]:
    """The slate as JSON has it: what cannot be computed is null."""
    found = asdict(slate)
    for line in found["lines"]:
        reason = line.pop("reason")
        line |= {name: reason[name] for name in ("kind", "words")}
        line |= {
            name: None if np.isnan(reason[name]) else reason[name] for name in ("score", "score_without", "evidence")
        }
    return found
