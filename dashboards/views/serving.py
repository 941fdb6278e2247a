"""Serving: who serves, since when and by which decision; how fresh the log is and how fast slates come."""

from datetime import datetime, timedelta
from functools import partial

import streamlit as st

from abtest.events.pace import Pace
from dashboards import layout, operators, pace_charts, pace_words, queries, registry_tables
from dashboards.markdown import escape
from experiments.home import Home

STEPS = {"By hour": (timedelta(hours=1), 72), "By minute": (timedelta(minutes=1), 120)}


def page() -> None:
    """Draw the slots of every model, the journal, and the pace of the log."""
    home = layout.home()
    with layout.problems():
        step, steps = STEPS[st.session_state.get("step") or "By hour"]
        pace = queries.pace(home, step, steps)
        layout.heading("Serving", pace.at)
        events(pace.value, pace.at)
    with layout.problems():
        slots(home)
    later()


def events(pace: Pace, now: datetime) -> None:
    """Draw how old the newest event is, and the slates per hour or minute."""
    st.subheader("Events", anchor=False)
    if pace.last is None:
        st.info("The event log is empty: slates appear here as soon as an experiment or a service writes them.")
        st.code("make demo   # the whole line on a synthetic market, in minutes", language="bash")
        return
    st.markdown(escape(pace_words.lag(pace, now)))
    if pace.steps:
        st.segmented_control("Slates", list(STEPS), default="By hour", key="step", label_visibility="collapsed")
        layout.chart(partial(pace_charts.by_time, pace), key="pace")
        st.caption(escape(pace_words.fallbacks(pace)))


def slots(home: Home) -> None:
    """Draw who serves as what, and every change of that."""
    st.subheader("Who serves", anchor=False)
    registered = queries.registered(home).value
    if not registered.slots:
        st.info("No model is registered yet: `bakeoff run CONFIG` registers the winner of a bake-off.")
        return
    for one in registered.slots:
        st.markdown(f"**{escape(one.model)}**")
        layout.table(registry_tables.slots(one, registered.events))
        operators.rollback(home, one)
    if registered.events:
        st.subheader("Journal", anchor=False)
        st.caption("Every change, newest first.")
        layout.table(registry_tables.moves(registered.events))


def later() -> None:
    """Say what this page cannot know without the live service."""
    st.subheader("Latency, fallbacks, drift", anchor=False)
    st.info(
        "These come with the live service: response times, how often a model was too slow and another one stepped in, "
        "and whether users and items still look like those of the training. What the log knows stands above."
    )


if __name__ == "__main__":
    page()
