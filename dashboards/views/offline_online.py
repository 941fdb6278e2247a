"""Offline against online: whether the offline metrics foretold the measured lifts, over all finished experiments."""

import math
from collections.abc import Mapping
from functools import partial

import streamlit as st

from dashboards import layout, promise_charts, promise_tables, queries
from dashboards.markdown import bullets, escape
from dashboards.numbers import cut_off, label
from experiments.home import Home


def page() -> None:
    """Draw the record of the offline metrics; `?metric=NAME` names the one in the picture."""
    home = layout.home()
    with layout.problems():
        draw(home)


def draw(home: Home) -> None:
    """Draw what there is."""
    # the heading needs the moment of reading, and reading may fail: the empty home reads nothing
    listed = queries.keys(home)
    layout.heading("Offline against online", listed.at)
    if not listed.value:
        layout.teach("No experiment yet, so no promise to hold against its lift.")
        return
    found = queries.promises(home).value
    # what it needs imports MLflow: without an experiment the page opens without it
    from experiments.offline_online import FEW, at_length, lengths, predictions, verdict

    every, points = lengths(found.points), found.points
    if every:
        k = st.segmented_control("Items in the list (k)", every, default=10 if 10 in every else every[0], key="k")
        points = at_length(points, k if k is not None else every[0])
    record = predictions(points)
    st.info(escape(verdict(points, record, label)))
    if not record:
        reasons(found.left_out)
        return
    # the address names the metric without its length, so that it stays when another length is chosen
    names = {cut_off(one.metric)[0]: one.metric for one in record}
    # too few to rank: the leading metric of most leaderboards is the one to look at first
    first = tuple(names) if len(points) >= FEW else tuple(sorted(names, key=lambda base: base != "ndcg"))
    chosen = layout.chooser("metric", "Offline metric", first, {base: label(base) for base in names})
    if chosen not in names:
        st.error(escape(f"no comparison has the offline metric {chosen!r}; there are {', '.join(names)}."))
        return
    metric = names[chosen]
    layout.chart(partial(promise_charts.scatter, points, metric), key="scatter")
    st.caption(
        "A point per comparison, with both intervals. Right of and above the zero lines, or left and below: the "
        "offline metric had the right sign. A lift is positive when the metric moved the way that is wanted."
    )
    if any(math.isfinite(one.rank) for one in record):
        st.subheader("Which offline metric predicts", anchor=False)
        layout.chart(partial(promise_charts.ranks, record), key="ranks")
    layout.table(promise_tables.record(record))
    st.caption(
        "Rank correlation: Spearman's, 1 when the offline order is the measured one. Signs are counted over "
        "comparisons whose lift is sure. Experiments that share a variant are not independent, so the intervals are "
        "too narrow."
    )
    st.subheader("Every comparison", anchor=False)
    layout.table(promise_tables.points(points, metric))
    reasons(found.left_out)


def reasons(left_out: Mapping[str, str]) -> None:
    """Say which experiments are not counted, and why."""
    if left_out:
        with st.expander(f"{len(left_out)} not counted"):
            st.markdown(bullets(promise_tables.left_out(left_out)))


if __name__ == "__main__":
    page()
