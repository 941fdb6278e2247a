"""What `bakeoff ablate` prints: a row for each way to do without something, and what that costs."""

from rich.console import Console
from rich.table import Table

from abtest.analysis.words import p_words
from bakeoff.records import to_json
from experiments.ablation import Ablation, Measured


def ablation(console: Console, found: Ablation, as_json: bool) -> None:
    """The table of the arms; a gain is the whole pipeline minus the arm, paired by user."""
    if as_json:
        print(to_json(Ablation, found))
        return
    whole, *rest = found.rows
    table = Table(title=f"{found.variant} on {found.judged_on}: {found.metric}, {whole.n:,} users")
    for column in ("arm", found.metric, f"gain of the whole ({found.level:.0%} interval)", "relative", ""):
        table.add_column(column, justify="left" if column == "arm" else "right", no_wrap=True)
    table.add_row(whole.arm, f"{whole.mean:.4f}", "", "", "")
    for row in rest:
        table.add_row(row.arm, f"{row.mean:.4f}", *_gain(row))
    console.print(table)
    console.print(
        "gain: what the whole pipeline has more than the arm, user by user. An interval that holds 0 tells no "
        "difference; it is not corrected for the number of arms.",
        highlight=False,
    )
    for row in found.rows:
        if row.note:
            console.print(f"{row.arm}: {row.note}", style="yellow", markup=False, highlight=False)


def _gain(row: Measured) -> tuple[str, str, str]:
    pair = row.gain
    assert pair is not None, "only the whole pipeline has none"
    relative = f"{pair.difference / row.mean:+.1%}" if row.mean > 0 else "-"
    return f"{pair.difference:+.4f} ({pair.low:+.4f} to {pair.high:+.4f})", relative, p_words(pair.p_value)
