"""What users saw: lists side by side for the same user, and what each variant shows in general."""

from functools import partial

import streamlit as st

from dashboards import layout, queries, slate_charts, slate_queries, slate_tables, tables
from dashboards.markdown import bullets, escape
from dashboards.numbers import count, moment
from experiments.home import Home
from experiments.slates import Example
from experiments.store import Definition

LISTED = 2
"""Other variants beside the one that was shown, before the page would scroll sideways."""


def page() -> None:
    """Draw what the variants of `?experiment=KEY` showed, and to `?user=ID` in particular."""
    home = layout.home()
    listed = queries.keys(home)
    layout.heading("What users saw", listed.at)
    if not listed.value:
        layout.teach("No experiment yet.")
        return
    key = layout.chooser("experiment", "Experiment", listed.value)
    if key is not None:
        with layout.problems():
            draw(home, key)


def draw(home: Home, key: str) -> None:
    """Draw one experiment's slates."""
    definition = queries.record(home, key).value.definition
    st.caption(escape(f"{definition.title or key} · {tables.STATUSES[definition.experiment.status]}"))
    newest = slate_queries.newest(home, key).value
    if not len(newest):
        st.info("No slate of this experiment is in the lake yet: they come with its traffic.")
        st.code("bakeoff simulate CONFIG   # simulated traffic; a live service writes its own", language="bash")
        return
    one_user(home, key)
    in_general(home, key, definition)
    alike(home, key)
    first, last = newest["at"][0].as_py(), newest["at"][-1].as_py()
    st.caption(f"From the newest {count(len(newest))} slates of the log: {moment(first)} to {moment(last)}.")


def one_user(home: Home, key: str) -> None:
    """Draw one user's slate beside the other variants' lists for the same user."""
    st.subheader("The same user, every variant", anchor=False)
    users = tuple(slate_queries.users(home, key).value)
    if not users:
        st.info("None of the newest slates went to a user whom the control's model knows.")
        return
    unit = layout.chooser("user", "User", users)
    if unit is None:
        return
    with layout.problems():
        found = slate_queries.example(home, key, unit).value
        side_by_side(found)


def side_by_side(example: Example) -> None:
    """Draw the lists."""
    if example.history:
        st.markdown(f"Touched last: {escape(', '.join(example.history))}")
    others = list(example.others.items())[:LISTED]
    shown, *asked = st.columns(1 + len(others))
    with shown:
        filled = ", filled by a fallback" if example.fallback else ""
        st.markdown(f"**{escape(example.variant)}**, as shown{filled}")
        layout.table(slate_tables.listed(example.shown))
        st.caption(moment(example.at))
    for column, (name, places) in zip(asked, others, strict=True):
        with column:
            st.markdown(f"**{escape(name)}**, for the same user")
            layout.table(slate_tables.listed(places))
            st.caption("The registered model, asked with the history of its training.")
    st.caption(
        escape(slate_tables.shared_titles(example))
        + " Why: facts of the log that the model was made of, not the model's own account. Scores are each model's "
        "own: they order one list and cannot be compared between two."
    )


def in_general(home: Home, key: str, definition: Definition) -> None:
    """Draw what each variant shows: how much, how popular, which categories, how novel, how diverse."""
    st.subheader("What each variant shows", anchor=False)
    profiles = slate_queries.profiles(home, key).value
    layout.table(slate_tables.summary(profiles))
    left, right = st.columns(2)
    with left:
        st.markdown("**Popularity of the items shown**")
        layout.chart(partial(slate_charts.shares, profiles, "tiers", "Share of places"), key="tiers")
    with right:
        st.markdown("**Categories**")
        if any(profile.categories for profile in profiles):
            layout.chart(partial(slate_charts.shares, profiles, "categories", "Share of places"), key="categories")
        else:
            st.info("The items have no categories, or the data set cannot be loaded any more.")
    left, right = st.columns(2)
    with left:
        st.markdown("**Novelty**")
        surprise = partial(slate_charts.spread, profiles, "novelty", "Mean surprise of a slate, in bits")
        layout.chart(surprise, key="novelty")
    with right:
        st.markdown("**Diversity**")
        unlike = partial(slate_charts.spread, profiles, "diversity", "Mean unlikeness of two items of a slate")
        layout.chart(unlike, key="diversity")
    origin = slate_queries.catalogue(
        home, definition.model, int(str(definition.experiment.variants[0].payload["version"]))
    ).origin
    with st.popover("What these mean"):
        st.markdown(
            bullets(
                (
                    "Popularity: the items ranked by how many users touched them before the experiment.",
                    "Novelty: an item that half of the users touched has 1 bit, one in a thousand has 10.",
                    f"Diversity: 1 less the cosine of two items' vectors, averaged over a slate; from {origin}.",
                    "Category: an item's first label.",
                )
            )
        )


def alike(home: Home, key: str) -> None:
    """Draw how much of their lists the variants share for the same users."""
    st.subheader("How different the variants are", anchor=False)
    asked = tuple(slate_queries.users(home, key, slate_queries.ASKED).value)
    found = slate_queries.overlaps(home, key, asked)
    for one in found:
        st.markdown(escape(slate_tables.overlap_sentence(one)))
    if asked:
        layout.chart(partial(slate_charts.overlap, found), key="overlap")


if __name__ == "__main__":
    page()
