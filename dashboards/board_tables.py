"""The tables of the models page: a Leaderboard in, frames and sentences out. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bakeoff.bootstrap import Paired
from dashboards.board_charts import by_k, interval
from dashboards.markdown import escape
from dashboards.numbers import ABSENT, cut_off, fixed, label, moment, p_value, percent, plain, seconds
from experiments.board import Cell, Leaderboard, Rival, Standing
from recsys.metrics.definitions import LESS_IS_BETTER

if TYPE_CHECKING:  # its module imports MLflow, which takes seconds
    from experiments.offline_pairs import Slice

SLICES = {
    "cold": "Cold: nothing known",
    "few": "Few: up to 3 interactions",
    "light": "Light: 4 to 10 interactions",
    "heavy": "Heavy: more",
    "long tail": "Long tail: the quarter with the rarest taste",
    "new items": "New items: what nobody had touched before",
    "rare items": "Rare items: known to fewer than ten users",
}


def standings(board: Leaderboard) -> pd.DataFrame:
    """The ranking on the leading metric, as Markdown: the best in bold, those not told apart from it marked."""
    return pd.DataFrame([_standing_row(row, board) for row in board.standings])


def all_metrics(board: Leaderboard, k: int) -> pd.DataFrame:
    """Every metric at one list length: a row per metric, a column per variant, as Markdown with the best in bold."""
    bases = list(dict.fromkeys(cut_off(name)[0] for row in board.standings for name in row.cells))
    rows = []
    for base in bases:
        means = [_mean(row, base, k) for row in board.standings]
        if all(map(math.isnan, means)):
            continue
        lower = base in LESS_IS_BETTER
        top = min(m for m in means if m == m) if lower else max(m for m in means if m == m)
        cells = {row.variant: _cell(row, base, k, top) for row in board.standings}
        rows.append({"Metric": label(f"{base}_{k}") + (" (less is better)" if lower else ""), **cells})
    frame = pd.DataFrame(rows)
    return frame.rename(columns={row.variant: escape(row.variant) for row in board.standings})


def settings(board: Leaderboard) -> pd.DataFrame:
    """How each variant came about: model, parameters, search, cost, run."""
    rows = [
        {
            "Variant": row.variant,
            "Model": row.model,
            "Parameters": parameters(row),
            "Trials": str(row.trials),
            "Fit": seconds(row.fit_seconds),
            "Score": seconds(row.score_seconds),
            "Run": row.run_id,
        }
        for row in board.standings
    ]
    return pd.DataFrame(rows)


def provenance(board: Leaderboard) -> pd.DataFrame:
    """What must be the same to get the same leaderboard again."""
    facts = {
        "Data": f"{board.dataset}, fingerprint {board.fingerprint}",
        "Split": board.split,
        "Test users": f"{board.users:,}",
        "Seed": str(board.seed),
        "Code": f"bakeoff {board.package_version}, revision {board.revision}",
        "Made": moment(board.at),
    }
    return pd.DataFrame({"What": list(facts), "Value": list(facts.values())})


def parameters(row: Standing) -> str:
    """A variant's parameters in one line, numbers rounded; a fusion as its parts with their weights."""
    rest = {name: value for name, value in row.params.items() if name not in ("parts", "weights")}
    texts = [f"{name} = {plain(v) if isinstance(v, float) else v}" for name, v in sorted(rest.items())]
    return ", ".join([*_parts(row.params), *texts]) or "defaults"


def leading(board: Leaderboard, bases: list[str]) -> int:
    """The place of the leading metric among these."""
    base = cut_off(board.metric)[0]
    return bases.index(base) if base in bases else 0


def cut_offs(board: Leaderboard) -> list[int]:
    """The list lengths that were measured."""
    return sorted({k for row in board.standings for _, k in map(cut_off, row.cells) if k is not None})


def bases_by_k(board: Leaderboard) -> list[str]:
    """The metrics that were measured at more than one list length."""
    bases = dict.fromkeys(cut_off(name)[0] for row in board.standings for name in row.cells)
    return [base for base in bases if any(len(by_k(row, base)) > 1 for row in board.standings)]


def beside_accuracy(board: Leaderboard) -> list[str]:
    """Diversity and novelty as the leaderboard names them at the leading cut-off; those that it has."""
    have = {name for row in board.standings for name in row.cells}
    return [name for base in ("diversity", "novelty") if (name := f"{base}_{leading_k(board)}") in have]


def leading_k(board: Leaderboard) -> int:
    """The cut-off of the leading metric."""
    k = cut_off(board.metric)[1]
    assert k is not None, "a leaderboard is led by a metric at a cut-off"
    return k


def per_user(board: Leaderboard) -> list[str]:
    """The metrics that have a value per user, so that variants can be compared user by user; the leading one first."""
    names = [name for name, cell in board.best.cells.items() if math.isfinite(cell.low)]
    return sorted(names, key=lambda name: name != board.metric)


def duel_sentence(one: str, other: str, metric: str, found: Paired) -> str:
    """Two variants against each other in a sentence."""
    gap, low, high = (fixed(value, 4, signed=True) for value in (found.difference, found.low, found.high))
    better, worse = one, other
    if found.difference < 0:
        better, worse = other, one
    verdict = (
        f"{better} is ahead of {worse}"
        if found.low > 0 or found.high < 0
        else f"{one} and {other} cannot be told apart"
    )
    chance = p_value(found.p_value)
    return (
        f"{verdict} on {label(metric)}: {gap} ({low} to {high}), p {chance if chance[0] in '<>' else f'= {chance}'}. "
        f"{one} is better for {percent(found.share_better, 0)} of {found.n:,} users and worse for "
        f"{percent(found.share_worse, 0)}."
    )


def slices(found: "Sequence[Slice]") -> pd.DataFrame:
    """A row per variant, a column per slice of the users that anybody is in."""
    names = [n for n in dict.fromkeys(s.name for s in found) if any(s.users for s in found if s.name == n)]
    rows = []
    for variant in dict.fromkeys(one.variant for one in found):
        row = {"Variant": variant}
        for one in found:
            if one.variant == variant and one.name in names:
                cell = Cell(mean=one.mean, low=one.low, high=one.high, n=one.users)
                row[SLICES[one.name]] = f"{interval(cell)} · {one.users:,} users" if one.users else ABSENT
        rows.append(row)
    return pd.DataFrame(rows)


def summary(board: Leaderboard) -> str:
    """The result in a sentence."""
    tied = [row.variant for row in board.standings if row.tied and row is not board.best]
    if not tied:
        return f"{board.best.variant} is the best of {len(board.standings)}."
    return f"{board.best.variant} leads; the data cannot tell it from {' and '.join(tied)}."


def _parts(params: Mapping[str, Any]) -> list[str]:
    """`0.7 × als + 0.3 × item_knn`; parts of equal weight without a number."""
    parts = params.get("parts")
    if not isinstance(parts, list) or not parts:
        return []
    names = [str(part.get("model", part)) if isinstance(part, dict) else str(part) for part in parts]
    weights = params.get("weights")
    if not isinstance(weights, list) or len(weights) != len(names):
        return [" + ".join(names)]
    return [" + ".join(f"{plain(float(w), 2)} × {name}" for w, name in zip(weights, names, strict=True))]


def _standing_row(row: Standing, board: Leaderboard) -> dict[str, str]:
    best, cell = row is board.best, row.cells.get(board.metric)
    mark = "**" if best else ""
    return {
        "Variant": f"{mark}{escape(row.variant)}{mark}",
        "Standing": "★ best" if best else "≈ tied with best" if row.tied else "▽ behind",
        label(board.metric): f"{mark}{interval(cell)}{mark}" if cell else ABSENT,
        **_rival_row(row.rival),
        "Registered": ABSENT if row.version is None else f"v{row.version}",
    }


def _rival_row(rival: Rival | None) -> dict[str, str]:
    if rival is None:
        return dict.fromkeys(("Against the best", "p (Holm)", "Users better / worse"), ABSENT)
    gap, low, high = (fixed(value, 4, signed=True) for value in (rival.difference, rival.low, rival.high))
    return {
        "Against the best": f"{gap} ({low} to {high})",
        "p (Holm)": p_value(rival.p_value),
        "Users better / worse": f"{percent(rival.share_better, 0)} / {percent(rival.share_worse, 0)}",
    }


def _mean(row: Standing, base: str, k: int) -> float:
    cell = row.cells.get(f"{base}_{k}")
    return cell.mean if cell else math.nan


def _cell(row: Standing, base: str, k: int, top: float) -> str:
    cell = row.cells.get(f"{base}_{k}")
    if cell is None or math.isnan(cell.mean):
        return ABSENT
    return f"**{interval(cell)}**" if cell.mean == top else interval(cell)
