"""The leading metric by slice of users and items, below the leaderboard."""

from rich.console import Console
from rich.table import Table

from experiments.board import Leaderboard
from recsys.scorecard import Part

WORDS = {
    "cold": "cold: no history",
    "few": "few: 1 to 3 events",
    "light": "light: 4 to 10",
    "heavy": "heavy: more",
    "new items": "new items: touched by nobody before",
    "rare items": "rare items: by fewer than 10 users",
}


def slices(console: Console, board: Leaderboard) -> None:
    """A row for each slice that anybody is in, a column for each variant; the empty ones in a sentence with why."""
    rows = [row for row in board.standings if row.slices]
    if not rows:
        return
    names = [part.name for part in rows[0].slices]
    of = {row.variant: {part.name: part for part in row.slices} for row in rows}
    filled = [name for name in names if any(of[row.variant][name].n for row in rows)]
    table = Table(title=f"{board.metric} by slice, mean and 95% interval", title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("slice")
    table.add_column("users", justify="right")
    for row in rows:
        table.add_column(row.variant)
    for name in filled:
        parts = [of[row.variant][name] for row in rows]
        table.add_row(WORDS.get(name, name), f"{max(part.n for part in parts):,}", *map(_cell, parts))
    if filled:
        console.print(table)
    for name in names:
        if name not in filled:
            reason = of[rows[0].variant][name].reason
            console.print(f"{WORDS.get(name, name)}: no value, {reason}.", style="dim", highlight=False, markup=False)


def _cell(part: Part) -> str:
    if part.n == 0:
        return "-"
    if part.n == 1:
        return f"{part.mean:.4f}"
    return f"{part.mean:.4f} \\[{part.low:.4f}, {part.high:.4f}]"
