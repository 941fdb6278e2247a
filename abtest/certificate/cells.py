"""The cells of a certificate: each is run alone, from its own seed, in any order, on any core."""

import zlib
from dataclasses import dataclass

import numpy as np

from abtest.certificate import families, fixed, looks, readings, splits
from abtest.certificate.lines import Line
from abtest.certificate.subjects import MOST_UNITS, SCENARIOS, UNITS

HASH = "hash"
READ_DAILY = 50_000  # units per arm at the last look
ASKED = 1_000  # units per arm where many questions are asked
SPLIT = 100_000
STEADY = 4  # times the runs, where a bound of 5.3% must be told from 5%
RARE = 20  # times the runs, where one in a thousand is counted


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on one kind of data with so many units per arm; `key` names it for ever."""

    kind: str
    method: str
    scenario: str = ""
    units: int

    @property
    def key(self) -> str:
        """Such as "once/mean/revenue/2000"."""
        return f"{self.kind}/{self.method}/{self.scenario}/{self.units}"

    @property
    def is_long(self) -> bool:
        """Whether it takes many seconds: such cells are started first, so that no core waits at the end."""
        heavy = self.method in ("median", "beta posterior", "bootstrap of the mean", families.DUNNETT)
        return heavy or (self.kind == "daily" and self.scenario == "revenue")


def all_cells(only: str = "") -> tuple[Cell, ...]:
    """Every cell, in reading order; only: those whose method has this in its name."""
    cells = [
        *(
            Cell(kind="once", method=method, scenario=scenario, units=units)
            for method, scenarios in SCENARIOS.items()
            for scenario in scenarios
            for units in UNITS
            if units <= MOST_UNITS.get(method, units)
        ),
        *(
            Cell(kind="reading", method=name, scenario=scenario, units=units)
            for name, (_, scenarios, units) in readings.READINGS.items()
            for scenario in scenarios
        ),
        *(
            Cell(kind="daily", method=name, scenario=scenario, units=READ_DAILY)
            for scenario in looks.SCENARIOS
            for name in looks.DAILY
        ),
        *(Cell(kind="family", method=name, units=ASKED) for name in families.CORRECTIONS),
        *(Cell(kind="ratio", method=name, units=SPLIT) for name in splits.CHECKS),
        Cell(kind=HASH, method="hash", units=splits.IDS),
    ]
    chosen = tuple(cell for cell in cells if only.lower() in cell.method.lower())
    if not chosen:
        names = sorted({cell.method for cell in cells})
        raise LookupError(f"no method has {only!r} in its name; known: {', '.join(names)}")
    return chosen


def run(cell: Cell, runs: int, seed: int) -> Line:
    """The line of one cell: the same for the same runs and seed, whatever else is run."""
    rng = np.random.default_rng([seed, zlib.crc32(cell.key.encode())])
    if cell.kind == "once":
        return fixed.certify(cell.method, cell.scenario, cell.units, runs, rng)
    if cell.kind == "daily":
        # all methods see the same experiments
        rng = np.random.default_rng([seed, zlib.crc32(cell.scenario.encode())])
        return looks.certify(cell.scenario, cell.units, STEADY * runs, rng, (cell.method,))[0]
    if cell.kind == "reading":
        return readings.certify(cell.method, cell.scenario, cell.units, runs, rng)
    if cell.kind == "family":
        return families.certify(cell.method, cell.units, runs, rng)
    if cell.kind == "ratio":
        return splits.certify_ratio(cell.method, cell.units, RARE * runs, rng)
    return splits.certify_hash(rng)
