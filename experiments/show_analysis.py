"""What the command line prints of an analysis: effects, segments, checks and how they were made. Computes nothing."""

import json
import math
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from abtest.analysis import words
from abtest.analysis.summaries import Course, flagged
from abtest.types import Comparison, Readout
from bakeoff.records import to_json
from experiments.analyses import Analysed, Courses

STYLES = {"good": "green", "bad": "red", "neutral": ""}
VERDICTS = {"good": "▲ better", "bad": "▼ worse", "neutral": "– no clear difference"}


def analysed(console: Console, found: Analysed, as_json: bool = False) -> None:
    """The readout of a table of units."""
    if as_json:
        return print(to_json(Readout, found.readout))
    readout = found.readout
    console.print(f"[bold]{escape(found.title)}[/bold]  ({escape(readout.experiment)})")
    arms = Table()
    for column in ("variant", "planned", "units"):
        arms.add_column(column, justify="left" if column == "variant" else "right")
    for arm in readout.arms:
        name = f"{arm.variant} (control)" if arm.variant == readout.control else arm.variant
        arms.add_row(escape(name), f"{arm.share:.1%}", f"{arm.units:,}")
    console.print(arms)
    findings(console, readout)
    return None


def findings(console: Console, readout: Readout) -> None:
    """Whether the numbers may be read, the effects, what they were made with, the warnings."""
    for check in readout.checks:
        if not check.alarm:
            console.print(f"✓ {check.says}", style="dim", markup=False, highlight=False)
    fatal = [check for check in readout.checks if check.fatal]
    if readout.srm.alarm or fatal:
        for says in [check.says for check in fatal] or [words.ratio_sentence(readout.srm)]:
            console.print(says, style="bold red", markup=False)
        console.print("The effects are withheld: numbers of an invalid experiment must not be read.")
    else:
        console.print(_effects(readout.effects))
        if readout.segments:
            _segments(console, readout)
        for sentence in words.method_sentences(readout):
            console.print(sentence, style="dim", markup=False, highlight=False)
        for comparison in readout.effects:
            if comparison.posterior is not None and comparison.metric.role == "primary":
                console.print(words.posterior_sentence(comparison), markup=False, highlight=False)
    for warning in readout.warnings:
        console.print(f"⚠ {warning}", style="yellow", markup=False)


def courses(console: Console, found: Courses, as_json: bool = False) -> None:
    """The courses of a table of summaries, and what peeking did over all of them."""
    naive, always, n = flagged(found.courses)
    if as_json:
        console.print_json(data=_course_values(found, naive, always, n))
        return
    console.print(f"[bold]{escape(found.title)}[/bold]")
    for name in found.show:
        _course_table(console, name, [course for course in found.courses if course.experiment == name], found)
    last = sum(course.last.p_value < 1.0 - course.last.level for course in found.courses if len(course.time))
    left_out = sum(course.left_out for course in found.courses)
    experiments = len({course.experiment for course in found.courses})
    console.print(
        f"Over all {n} metrics of {experiments} comparisons, looked at every checkpoint and stopped at the first "
        f"p < 0.05: a test meant to be read once flags {naive}, the always-valid one {always} (tuned to "
        f"{found.planned:,.0f} units). Read once, at the end, the test flags {last}.",
        highlight=False,
    )
    if left_out:
        console.print(f"⚠ {left_out:,} checkpoints with too few units or no variance were left out.", style="yellow")
    console.print("⚠ The planned shares are not known, so the sample ratio cannot be checked.", style="yellow")


def _effects(effects: Sequence[Comparison]) -> Table:
    corrected = any(row.adjusted_p is not None for row in effects)
    table = Table()
    for column in ("metric", "role", "variant", "control", "treatment", "effect", "p", "p corrected", ""):
        if corrected or column != "p corrected":
            table.add_column(column, no_wrap=column in ("metric", "effect"))
    for row in effects:
        effect = row.effect
        if math.isnan(effect.p_value):
            table.add_row(words.label(row.metric), row.metric.role, escape(row.variant), "", "", effect.reason)
            continue
        size, interval = words.sizes(row)
        colour = words.colour(row)
        adjusted = [] if not corrected else [_p(row.adjusted_p) if row.adjusted_p is not None else ""]
        table.add_row(
            words.label(row.metric),
            row.metric.role,
            escape(row.variant),
            f"{effect.control:.4g}",
            f"{effect.treatment:.4g}",
            f"{size} ({interval})",
            _p(effect.p_value),
            *adjusted,
            VERDICTS[colour],
            style=STYLES[colour],
        )
    return table


def _segments(console: Console, readout: Readout) -> None:
    """The primary metrics by segment, and whether any metric's effect differs by segment."""
    table = Table(title="Primary metrics by segment", title_justify="left")
    for column in ("metric", "variant", "segment", "effect", "drawn together", "p corrected"):
        table.add_column(column, no_wrap=column == "effect")
    for row in readout.segments:
        if row.metric.role != "primary" or row.segment is None:
            continue
        size, interval = words.sizes(row)
        computed = not math.isnan(row.effect.p_value)
        table.add_row(
            words.label(row.metric),
            escape(row.variant),
            escape(f"{row.segment.name} = {row.segment.value}"),
            f"{size} ({interval})" if computed else row.effect.reason,
            "" if row.shrunken is None else f"{row.shrunken:+.1%}",
            _p(row.adjusted_p if row.adjusted_p is not None else row.effect.p_value),
        )
    if table.row_count:
        console.print(table)
    for found in readout.interactions:
        if found.p_value < 0.05:
            console.print(words.interaction_sentence(found), markup=False, highlight=False)
    quiet = sum(not found.p_value < 0.05 for found in readout.interactions)
    if quiet:
        console.print(
            f"{quiet} of {len(readout.interactions)} tests show no difference between segments.", highlight=False
        )


def _course_table(console: Console, name: str, found: Sequence[Course], all_: Courses) -> None:
    units = found[0].units[-1] if len(found[0].time) else (0.0, 0.0)
    table = Table(title=f"{name}: {units[0]:,.0f} and {units[1]:,.0f} units", title_justify="left")
    for column in ("metric", "control", "treatment", "effect at the end", "p", "always-valid p", "naive flag", "flag"):
        table.add_column(column, no_wrap=True)
    for course in found:
        if not len(course.time):
            table.add_row(all_.names.get(course.metric, course.metric), "", "", "no checkpoint can be read")
            continue
        effect, always = course.last, course.always.rows()[-1]
        low, high = (f"{100 * end:+.2f}%" for end in effect.relative_ci)
        table.add_row(
            all_.names.get(course.metric, course.metric),
            f"{effect.control:.4g}",
            f"{effect.treatment:.4g}",
            f"{100 * effect.relative:+.2f}% ({low} to {high})",
            _p(effect.p_value),
            _p(always.p_value),
            _day(course.naive_flag),
            _day(course.always_flag),
        )
    console.print(table)


def _course_values(found: Courses, naive: int, always: int, n: int) -> dict[str, object]:
    rows = [
        {
            "experiment": course.experiment,
            "metric": course.metric,
            "checkpoints": len(course.time),
            "naive_flag": None if math.isnan(course.naive_flag) else course.naive_flag,
            "always_flag": None if math.isnan(course.always_flag) else course.always_flag,
            "effect": json.loads(to_json(type(course.last), course.last)) if len(course.time) else None,
        }
        for course in found.courses
    ]
    return {"courses": rows, "metrics": n, "flagged_by_peeking": naive, "flagged_always_valid": always}


def _day(at: float) -> str:
    return "never" if math.isnan(at) else f"day {at:g}"


def _p(p_value: float) -> str:
    return words.p_words(p_value).removeprefix("p ").removeprefix("= ") if p_value == p_value else "-"
