"""Readout: one experiment, the verdict first, then how sure, then the numbers, or why they are withheld."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from abtest.analysis import words
from abtest.types import Decision, Readout
from dashboards import (
    charts,
    layout,
    operators,
    pace_charts,
    pictures,
    queries,
    readable,
    readout_tables,
    registry_tables,
    report,
    sensitivity_tables,
    tables,
)
from dashboards.markdown import bullets, escape
from dashboards.numbers import label, moment, percent
from experiments.home import Home
from experiments.store import Definition, Record

if TYPE_CHECKING:
    from experiments.journal import Event
    from experiments.notes import Note

BOXES = {"ship": st.success, "stop": st.info, "continue": st.info, "invalid": st.error}


def page() -> None:
    """Draw the readout that `?experiment=KEY` names, else the newest."""
    home = layout.home()
    listed = queries.keys(home)
    layout.heading("Readout", listed.at)
    if not listed.value:
        st.info("No experiment yet: `make demo` makes the first, and `bakeoff run CONFIG` one of your own.")
        return
    key = layout.chooser("experiment", "Experiment", listed.value)
    if key is None:
        return
    with layout.problems():
        draw(home, key)


def draw(home: Home, key: str) -> None:
    """Draw one experiment."""
    loaded = queries.record(home, key)
    record, changes, written = loaded.value, queries.changes(home, key).value, queries.notes(home, key).value
    introduce(record, loaded.at)
    if record.readout is None:
        operators.on_experiment(home, record)
        waiting(record.definition)
    else:
        share(record, record.readout, changes, written)
        operators.on_experiment(home, record)
        show(home, record, record.readout, changes)
    history(record, changes)
    notes(written)


def introduce(record: Record, now: datetime) -> None:
    """Say what is compared, how far it is, and why."""
    definition, experiment = record.definition, record.definition.experiment
    control, *others = (escape(variant.name) for variant in experiment.variants)
    st.subheader(escape(definition.title or experiment.key), anchor=False)
    arms, share = f"{' and '.join(others)} against {control}", f"{percent(experiment.traffic, 0)} of traffic"
    days = f"{tables.days_running(record, now)} of {definition.days} days"
    st.caption(" · ".join([arms, tables.STATUSES[experiment.status], share, days]))
    if definition.hypothesis:
        st.markdown(f"Hypothesis: {escape(definition.hypothesis)}")


def waiting(definition: Definition) -> None:
    """Say what to do before the first analysis."""
    key = definition.experiment.key
    st.info("Not analysed yet: the numbers appear here after the first analysis.")
    st.code(f"bakeoff analyse {key}\nbakeoff decide {key}", language="bash")


def show(home: Home, record: Record, readout: Readout, changes: tuple["Event", ...]) -> None:
    """Draw what forbids reading, verdict, health, effects, their course and segments, in this order."""
    withheld = readable.withheld(readout, record.decision)
    alarms(readout)
    verdict(record, readout, changes)
    if not withheld:
        certainty(readout, record.decision)
    health(record.definition, readout)
    # the one thing here that is counted from events, so it is filled in when all the rest can be read already
    place = st.container()
    numbers(home, record.definition, readout, withheld)
    with place, layout.problems():
        by_day(home, readout)


def numbers(home: Home, definition: Definition, readout: Readout, withheld: str) -> None:
    """Draw effects, their course and segments; withheld: why they must not be read, if so."""
    st.subheader("Effects", anchor=False)
    if withheld:
        st.warning(f"Effects withheld: {escape(withheld)}")
        return
    effects(definition, readout)
    with layout.problems():
        other_ways(home, readout)
    course(readout)
    segments(readout)


def verdict(record: Record, readout: Readout, changes: tuple["Event", ...]) -> None:
    """Draw the verdict in one sentence, what to do next and why; a verdict that no longer holds is not repeated."""
    decision = record.decision
    if decision is None or readable.overruled(readout, decision):
        undecided(record, readout)
        return
    sentence, step = words.verdict_sentence(decision), registry_tables.next_step(decision, changes)
    sentence, step = escape(sentence), escape(step)
    BOXES[decision.verdict](f"{tables.VERDICT_SIGNS[decision.verdict]} **{sentence}** {step}")
    st.markdown(bullets(decision.reasons))
    if readable.outdated(readout, decision):
        st.warning("This verdict was given before the latest analysis; decide again:")
        st.code(f"bakeoff decide {readout.experiment}", language="bash")


def undecided(record: Record, readout: Readout) -> None:
    """Say that no verdict stands, and how to get one; a broken sample ratio first."""
    state = readable.undecided(record)
    if readable.invalid(readout):
        because = readable.withheld(readout, record.decision)
        st.error(f"⚠ **{state}** {escape(because[:1].upper() + because[1:])}")
    else:
        st.info(f"**{state}** {escape(words.sample_sentence(readout))}")
    st.code(f"bakeoff decide {readout.experiment}", language="bash")


def certainty(readout: Readout, decision: Decision | None) -> None:
    """Say how sure each primary effect is; before a decision, what it is, too."""
    primary = [comparison for comparison in readable.readable(readout) if comparison.metric.role == "primary"]
    for comparison in primary:
        effect = "" if decision else words.effect_sentence(comparison, readout.control) + " "
        about = f" ({label(comparison.metric.name)}, {comparison.variant})" if len(primary) > 1 else ""
        st.markdown(f"{escape(effect)}*How sure{escape(about)}?* {escape(words.how_sure(comparison))}")


def alarms(readout: Readout) -> None:
    """Draw, before anything else, the checks that forbid reading the numbers."""
    if readout.srm.alarm:
        st.error(f"⚠ {escape(words.ratio_sentence(readout.srm))}")
    for check in readout.checks:
        if check.fatal:
            st.error(f"⚠ {escape(check.says)}")


def health(definition: Definition, readout: Readout) -> None:
    """Draw the warnings, the arms, the sample-ratio check and the other checks of validity."""
    st.subheader("Who saw what", anchor=False)
    if readout.warnings:
        st.warning(f"Take note:\n\n{bullets(readout.warnings)}")
    layout.table(readout_tables.arms(definition, readout))
    ratio = words.ratio_sentence(readout.srm)
    st.caption(escape(f"{ratio} {words.sample_sentence(readout)} {readout_tables.period(readout)}"))
    if readout.checks:
        failed = sum(check.alarm or check.fatal for check in readout.checks)
        told = f"{failed} to look at" if failed else "all fine"
        with st.expander(f"{len(readout.checks)} checks of validity: {told}"):
            layout.table(readout_tables.checks(readout))


def by_day(home: Home, readout: Readout) -> None:
    """Draw new units and slates shown, day by day; nothing where the lake has no slates of this experiment."""
    counts = queries.traffic(home, readout.experiment, readout.as_of)
    if not counts:
        return
    left, right = st.columns(2)
    with left:
        layout.chart(partial(pace_charts.by_day, counts, "units"), key="units by day")
    with right:
        layout.chart(partial(pace_charts.by_day, counts, "exposures"), key="exposures by day")


def effects(definition: Definition, readout: Readout) -> None:
    """Draw every metric's effect, as intervals on one axis and as a table."""
    comparisons = readable.readable(readout)
    if any(one.unadjusted is not None for one in comparisons) and not st.toggle("With CUPED", True, key="cuped"):
        comparisons = readable.without_covariates(comparisons)
    if not comparisons:
        st.info("No effect yet: no metric could be compared.")
        return
    if charts.has_interval(comparisons):
        layout.chart(partial(charts.forest, comparisons), key="forest")
        st.caption(f"{readable.intervals(readout)}{readable.legend(comparisons)}")
    else:
        st.warning("No metric could be computed: the table says why. Look whether outcomes arrive, then analyse again:")
        st.code(f"bakeoff analyse {readout.experiment}", language="bash")
    layout.table(readout_tables.effects(readout, comparisons))
    with st.container(horizontal=True):
        with st.popover("What the metrics mean"):
            st.markdown(bullets(readout_tables.meanings(definition.metrics)))
        with st.popover("How the numbers were made"):
            st.markdown(bullets(words.method_sentences(readout)))


def other_ways(home: Home, readout: Readout) -> None:
    """Draw the effects computed in other ways, beside the planned one; nothing where there is no other way."""
    planned, found = readable.readable(readout), queries.views(home, readout.experiment, readout.as_of)
    frame = sensitivity_tables.table(planned, found)
    if frame.empty:
        return
    st.subheader("Computed in other ways", anchor=False)
    st.markdown(escape(sensitivity_tables.conclusion(planned, found)))
    layout.table(frame)
    st.caption(escape(" ".join(view.says for view in found.views) if found else ""))


def course(readout: Readout) -> None:
    """Draw the cumulative effect by day of one metric, the first primary one unless another is chosen."""
    metrics = {c.metric.name: c.metric for c in readout.effects}
    with_days = [name for name in metrics if any(c.metric.name == name for c in readout.daily)]
    if not with_days:
        return
    st.subheader("Effect by day", anchor=False)
    with_days.sort(key=lambda name: metrics[name].role != "primary")
    name = st.selectbox("Metric", with_days, format_func=label, key="course")
    layout.chart(partial(charts.cumulative, metrics[name], readout.daily), key="cumulative")
    st.caption(
        "Cumulative: all data up to the end of each day. The band is always valid: it may be watched every day, "
        "and holds over all days together."
    )


def segments(readout: Readout) -> None:
    """Draw the effects within the segments of one attribute, and whether they differ."""
    groups = readable.by_segment(readout)
    if not groups:
        return
    st.subheader("Segments", anchor=False)
    found = groups[st.selectbox("Metric and attribute", list(groups), key="segment")]
    if charts.has_interval(found):
        layout.chart(partial(charts.forest, found), key="segments")
    layout.table(readout_tables.segments(found))
    metric, attribute = found[0].metric.name, found[0].segment.name if found[0].segment else ""
    told = [i for i in readout.interactions if (i.metric, i.segment) == (metric, attribute)]
    st.markdown(bullets([words.interaction_sentence(one) for one in told]))
    st.caption(
        "Drawn to the whole: the estimate to believe for one segment; extremes of small segments are mostly luck. "
        "A segment that looks special is a hypothesis for the next experiment, not a result of this one."
    )


def notes(found: "tuple[Note, ...]") -> None:
    """Draw what people wrote down."""
    if found:
        st.subheader("Notes", anchor=False)
        st.markdown(bullets([f"{moment(note.at)}, {note.by}: {note.text}" for note in found]))


def share(record: Record, readout: Readout, changes: tuple["Event", ...], found: "tuple[Note, ...]") -> None:
    """Draw the ways to take the readout along; withheld numbers are in none of them."""
    key, comparisons = readout.experiment, readable.readable(readout)
    withheld = readable.withheld(readout, record.decision)
    with st.container(horizontal=True):
        page = partial(report.report, record, found, changes)
        st.download_button("Report (HTML)", page, f"{key}.html", "text/html", key="report")
        if not withheld and comparisons:
            csv = partial(readout_tables.effects_csv, readout)
            st.download_button("Effects (CSV)", csv, f"{key}.csv", "text/csv", key="download")
        if not withheld and charts.has_interval(comparisons):
            picture = partial(pictures.forest_png, comparisons, record.definition.title)
            st.download_button("Picture (PNG)", picture, f"{key}.png", "image/png", key="picture")


def history(record: Record, changes: tuple["Event", ...]) -> None:
    """Draw what was decided, by which rule, and what it changed in the registry."""
    if record.decision is not None:
        st.subheader("Decision", anchor=False)
        st.caption(f"{escape(tables.verdict(record))} · decided {moment(record.decision.at)}")
        st.caption(readout_tables.rule(record.decision.rule))
    if changes:
        st.caption("What it changed in the registry")
        layout.table(registry_tables.moves(changes))


if __name__ == "__main__":
    page()
