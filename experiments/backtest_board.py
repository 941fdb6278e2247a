"""The outcome of a backtest as values: what the CLI prints and MLflow keeps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from experiments.board import Cell, Rival


@dataclass(frozen=True, kw_only=True)
class Line:
    """One variant over all windows; cell.n counts users.

    rival: the variant minus the reference, None for that itself; led: the windows in which no other was better; ahead:
    those in which it was better than the reference; rank: its mean rank over the windows, 1 the best; validation: its
    mean where it was tuned; note: what to know of its fits.
    """

    variant: str
    model: str
    params: dict[str, Any]
    cell: Cell
    rival: Rival | None
    led: int
    ahead: int
    rank: float
    validation: float
    trials: int
    note: str


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One window, from `start` to `end` (out), ISO times: who is judged, the new ones among them, each one's mean."""

    start: str
    end: str
    rows: int
    users: int
    new_users: int
    means: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Some of the lists: of users who were new at that moment, or known."""

    name: str
    users: int
    lists: int
    cells: dict[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The best variant minus the one that matters beside it: the named one, or the runner-up. ahead: windows."""

    variant: str
    other: str
    difference: float
    low: float
    high: float
    p_value: float
    ahead: int


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """The variants over all windows, best first on `metric`; lists: one per user and window.

    reference: what the others are compared with, p adjusted by Holm; lead: None with a single variant.
    """

    name: str
    metric: str
    level: float
    method: str
    reference: str
    lines: tuple[Line, ...]
    windows: tuple[Stretch, ...]
    slices: tuple[Slice, ...]
    lead: Lead | None
    users: int
    lists: int
    dataset: str
    fingerprint: str
    seed: int
    package_version: str
    revision: str
    at: datetime
    run_id: str = ""
