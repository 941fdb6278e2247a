"""Bad rows: what is wrong with them, in which file and on which line, and what is done about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

OnBadRows = Literal["refuse", "drop"]
CURE = "correct the file, or set `on_bad_rows: drop` to leave these rows out and count them"


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """All rows of one file that have the same thing wrong with them.

    kind: such as "missing user" or "duplicate"; lines: (n,) int64, 1-based physical lines of a text file (its header
    is a line), rows of a Parquet file; values: the n offending values as text. A row is counted for the first problem
    found in it, so that the counts add up to the number of bad rows.
    """

    file: str
    kind: str
    lines: NDArray[np.int64]
    values: tuple[str, ...]

    @classmethod
    def at(cls, file: str, kind: str, line: int, value: str) -> Self:
        """The problem of a single line."""
        return cls(file=file, kind=kind, lines=np.array([line], np.int64), values=(value,))

    def __len__(self) -> int:
        return len(self.lines)

    def sentences(self, first: int | None = None) -> list[str]:
        """`file:line: kind: value` for the first rows, or for all."""
        return [
            f"{self.file}:{line}: {self.kind}: {value!r}"
            for line, value in zip(self.lines[:first].tolist(), self.values[:first], strict=True)
        ]


class DataError(ValueError):
    """Data that cannot be used as it is. `problems` has every bad row, where rows are to blame."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def settle(problems: Iterable[Problem], on_bad_rows: OnBadRows) -> tuple[Problem, ...]:
    """The problems that are not empty, if bad rows may be dropped; else one error that lists the first of each kind."""
    if on_bad_rows not in ("refuse", "drop"):
        raise ValueError(f"on_bad_rows must be 'refuse' or 'drop', got {on_bad_rows!r}")
    found = tuple(problem for problem in problems if len(problem))
    if found and on_bad_rows == "refuse":
        raise DataError(f"{summary(found)}\n{CURE}", found)
    return found


def summary(problems: Sequence[Problem], first: int = 3) -> str:
    """How many rows are bad, and per kind the count and the first of them."""
    count = sum(map(len, problems))
    lines = [f"{count:,} bad row{'s' * (count != 1)}:"]
    for problem in problems:
        lines.append(f"  {problem.kind}: {len(problem):,} in {problem.file}")
        lines += [f"    {sentence}" for sentence in problem.sentences(first)]
    return "\n".join(lines)
