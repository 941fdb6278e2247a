"""What `bakeoff backtest` prints: the standing over all windows, each window, new and known users, and a sentence."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from abtest.analysis.words import p_words
from bakeoff.records import to_json
from experiments.backtest_board import Backtest, Line
from experiments.board import Cell, Rival


def backtest(console: Console, found: Backtest, as_json: bool = False) -> None:
    """The tables and the sentence; differences are paired by user and window, and users are resampled as a whole."""
    if as_json:
        print(to_json(Backtest, found))
        return
    _standing(console, found)
    _windows(console, found)
    _slices(console, found)
    console.print(sentence(found), markup=False, highlight=False)
    console.print(
        f"Tuned before the first window ({found.method}). Intervals resample users with all their lists; p adjusted by "
        f"Holm; ≈ cannot be told from {found.reference}.\n"
        f"Data {found.dataset} ({found.fingerprint}), seed {found.seed}, revision {found.revision}.",
        style="dim",
        markup=False,
        highlight=False,
    )
    for line in found.lines:
        if line.note:
            console.print(f"{line.variant} {line.note}", style="yellow", markup=False, highlight=False)


def sentence(found: Backtest) -> str:
    """The outcome in words: who is ahead, by how much, how sure, in how many windows."""
    over = f"over {len(found.windows)} windows and {found.users:,} users"
    lead = found.lead
    if lead is None:
        return f"{found.lines[0].variant} is alone: {found.metric} is {found.lines[0].cell.mean:.4f} {over}."
    size = f"{lead.difference:.4f} [{lead.low:.4f}, {lead.high:.4f}] ({p_words(lead.p_value)})"
    sure = lead.p_value < 1 - found.level
    told = (
        f"{lead.variant} is ahead of {lead.other} by {size} {over}"
        if sure
        else f"{lead.variant} and {lead.other} cannot be told apart: the difference is {size} {over}"
    )
    ahead = f"{lead.variant} was ahead" if not sure else "it was ahead"
    return f"{told}; {ahead} in {lead.ahead} of {len(found.windows)} windows."


def _standing(console: Console, found: Backtest) -> None:
    base, _, k = found.metric.rpartition("_")
    table = Table(
        title=f"{found.name}: {len(found.windows)} windows, {found.users:,} users, {found.lists:,} lists",
        title_justify="left",
        padding=(0, 1, 0, 0),
    )
    for column in ("variant", f"{base}@{k}, {found.level:.0%} interval", f"minus {found.reference}"):
        table.add_column(column, no_wrap=True)
    for column in ("led", "mean rank", "ahead", "validation"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in found.lines:
        name = escape(line.variant)
        table.add_row(
            f"[bold]{name}[/bold]" if line is found.lines[0] else name,
            escape(_cell(line.cell)),
            escape(_rival(line.rival, found)),
            f"{line.led} of {len(found.windows)}",
            f"{line.rank:.1f}",
            _ahead(line, found),
            "" if line.validation != line.validation else f"{line.validation:.4f}",
        )
    console.print(table)
    console.print(
        f"led: windows in which no other was better; ahead: windows in which it was better than {found.reference}.",
        style="dim",
        markup=False,
        highlight=False,
    )


def _windows(console: Console, found: Backtest) -> None:
    table = Table(title=f"{found.metric} by window", title_justify="left", padding=(0, 1, 0, 0))
    for column in ("from", "to"):
        table.add_column(column, no_wrap=True)
    for column in ("rows", "users", "new", *(line.variant for line in found.lines)):
        table.add_column(escape(column), justify="right")
    for window in found.windows:
        best = max(window.means.values())
        means = [window.means[line.variant] for line in found.lines]
        table.add_row(
            window.start[:10],
            window.end[:10],
            f"{window.rows:,}",
            f"{window.users:,}",
            f"{window.new_users:,}",
            *(f"[bold]{mean:.4f}[/bold]" if mean == best else f"{mean:.4f}" for mean in means),
        )
    console.print(table)


def _slices(console: Console, found: Backtest) -> None:
    """A row for each variant: so many variants have no room beside each other."""
    table = Table(title=f"{found.metric} of new and known users", title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("variant", no_wrap=True)
    for part in found.slices:
        table.add_column(f"{part.name}: {part.users:,}, {part.lists:,} lists", no_wrap=True)
    for line in found.lines:
        table.add_row(escape(line.variant), *(escape(_cell(part.cells[line.variant])) for part in found.slices))
    console.print(table)


def _cell(cell: Cell) -> str:
    if cell.n == 0:
        return "-"
    return f"{cell.mean:.4f}" if cell.n == 1 else f"{cell.mean:.4f} [{cell.low:.4f}, {cell.high:.4f}]"


def _rival(rival: Rival | None, found: Backtest) -> str:
    if rival is None:
        return "best" if found.reference == found.lines[0].variant else "-"
    sign = "" if rival.p_value < 1 - found.level else "≈ "
    return f"{sign}{rival.difference:+.4f} [{rival.low:+.4f}, {rival.high:+.4f}] {p_words(rival.p_value)}"


def _ahead(line: Line, found: Backtest) -> str:
    return "" if line.rival is None else f"{line.ahead} of {len(found.windows)}"
