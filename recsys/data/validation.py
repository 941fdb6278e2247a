"""The data-quality report: what was dropped, and what should make one careful."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.description import Description, describe
from recsys.data.drift import Drift, measure_drift
from recsys.data.interactions import Interactions
from recsys.data.problems import Problem

__all__ = ["Description", "Finding", "Quality", "describe", "validate"]

PSI_ALARM = 0.25
"""A population stability index above this is by custom a shift to act on (.1 to .25: to watch)."""
NEW_ALARM = 0.5
"""With more than half of the last slice's items or users new, results on it say little about the others."""
EPOCH = np.datetime64(0, "s")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to know before trusting results: a stable code, how many, of how many, and a sentence."""

    code: str
    count: int
    total: int
    message: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Quality:
    """The data-quality report.

    rows_read: rows of the interactions table; problems: the bad rows of all tables, which were dropped; left_out: good
    rows that the configuration sets aside (a rating below the minimum, a kind that does not count).
    """

    rows_read: int
    rows_kept: int
    left_out: int
    problems: tuple[Problem, ...]
    findings: tuple[Finding, ...]
    drift: Drift

    @property
    def dropped(self) -> int:
        """How many bad rows, of all tables, were dropped."""
        return sum(map(len, self.problems))

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) pairs for a table that people read."""
        drift = self.drift
        return [
            ("rows read", f"{self.rows_read:,}"),
            ("rows kept", f"{self.rows_kept:,}"),
            ("rows left out by the configuration", f"{self.left_out:,}"),
            *((f"dropped: {problem.kind}", f"{len(problem):,} in {problem.file}") for problem in self.problems),
            *((f"warning: {finding.code}", finding.message) for finding in self.findings),
            ("last slice from", f"{drift.slice_start} UTC"),
            ("new users in the last slice", _percent(drift.new_users)),
            ("new items in the last slice", _percent(drift.new_items)),
            ("rows of the last slice on new items", _percent(drift.new_item_rows)),
            ("drift of item popularity (PSI)", _number(drift.popularity_psi)),
            ("unevenness of weekly rows (PSI)", _number(drift.weekly_psi)),
        ]

    def lines(self, first: int = 3) -> list[str]:
        """The report as text, each kind of bad row with the first few of them."""
        width = max(len(what) for what, _ in self.rows())
        table = [f"{what:<{width}}  {value}" for what, value in self.rows()]
        return table + [sentence for problem in self.problems for sentence in problem.sentences(first)]


def validate(
    dataset: Dataset,
    *,
    rows_read: int | None = None,
    left_out: int = 0,
    problems: Sequence[Problem] = (),
    findings: Sequence[Finding] = (),
    slices: int = 4,
) -> Quality:
    """The quality report of a data set; a source adds what it saw while reading (rows, problems, its own findings)."""
    rows = dataset.interactions
    drift = measure_drift(rows, slices=slices)
    return Quality(
        rows_read=len(rows) if rows_read is None else rows_read,
        rows_kept=len(rows),
        left_out=left_out,
        problems=tuple(problems),
        findings=(*findings, *_sparse(rows), *_drifting(rows, drift)),
        drift=drift,
    )


def _sparse(rows: Interactions) -> list[Finding]:
    per_user = np.bincount(rows.user, minlength=rows.n_users)
    per_item = np.bincount(rows.item, minlength=rows.n_items)
    found = []
    for side, counts in (("users", per_user), ("items", per_item)):
        active = int((counts > 0).sum())
        for n, words in ((0, "no interaction"), (1, "a single interaction")):
            if count := int((counts == n).sum()):
                total = len(counts) if n == 0 else active
                message = f"{count:,} of {total:,} {side} have {words}"
                found.append(Finding(code=f"{side} with {words}", count=count, total=total, message=message))
    if negative := int((rows.weight < 0).sum()):
        message = f"{negative:,} rows have a negative weight; most models read a weight as strength of interest"
        found.append(Finding(code="negative weights", count=negative, total=len(rows), message=message))
    if len(rows) and bool((rows.time == EPOCH).all()):
        message = "all rows are at 1970-01-01: no split by time and no drift can be computed"
        found.append(Finding(code="no times", count=len(rows), total=len(rows), message=message))
    return found


def _drifting(rows: Interactions, drift: Drift) -> list[Finding]:
    in_slice = int((rows.time >= drift.slice_start).sum())
    checks = (
        ("new users", drift.new_users, NEW_ALARM, f"{drift.new_users:.0%} of the users of the last slice are new"),
        ("new items", drift.new_items, NEW_ALARM, f"{drift.new_items:.0%} of the items of the last slice are new"),
        (
            "popularity drift",
            drift.popularity_psi,
            PSI_ALARM,
            f"item popularity shifts: PSI {drift.popularity_psi:.2f}",
        ),
        ("uneven weeks", drift.weekly_psi, PSI_ALARM, f"weekly rows are uneven: PSI {drift.weekly_psi:.2f}"),
    )
    return [
        Finding(code=code, count=in_slice, total=len(rows), message=message)
        for code, value, alarm, message in checks
        if value > alarm
    ]


def _percent(share: float) -> str:
    return "not computable" if np.isnan(share) else f"{share:.1%}"


def _number(value: float) -> str:
    return "not computable" if np.isnan(value) else f"{value:.3f}"
