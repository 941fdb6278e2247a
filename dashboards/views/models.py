"""Models: who is best offline, what it costs in diversity and novelty, who serves now and how it came to that."""

import shlex
from functools import partial

import streamlit as st

from dashboards import board_charts, board_tables, layout, queries, registry_tables
from dashboards.markdown import bullets, escape
from dashboards.numbers import label
from experiments.board import Leaderboard
from experiments.home import Home


def page() -> None:
    """Draw the bake-off that `?bakeoff=NAME` names, else the newest, and below it the registry."""
    home = layout.home()
    with layout.problems():
        draw(home)


def draw(home: Home) -> None:
    """Draw what there is."""
    names = queries.bakeoffs(home)
    layout.heading("Models", names.at)
    if not names.value:
        st.info("No leaderboard yet: `make demo` makes the first, and `bakeoff train CONFIG` one of your own.")
        return
    name = layout.chooser("bakeoff", "Bake-off", names.value)
    if name is not None:
        with layout.problems():
            offline(home, name)
    with layout.problems():
        registry(home)


def offline(home: Home, name: str) -> None:
    """Draw one leaderboard with where it comes from."""
    board = queries.leaderboard(home, name).value
    ranking(board)
    tradeoffs(board)
    by_length(board)
    pairs(home, name, board)
    sliced(home, name, board)
    details(board)
    origin(board, f"bakeoff mlflow --home {shlex.quote(str(home.root))}", queries.run_link(home, board.run_id))


def ranking(board: Leaderboard) -> None:
    """Draw the variants, best first."""
    st.subheader(f"Leaderboard on {label(board.metric)}", anchor=False)
    st.table(board_tables.standings(board), hide_index=True)
    st.caption(f"{escape(board_tables.summary(board))} Means over test users with bootstrap intervals.")
    for note in board.notes:
        st.info(escape(note))


def tradeoffs(board: Leaderboard) -> None:
    """Draw what accuracy costs in diversity and novelty."""
    against = board_tables.beside_accuracy(board)
    if not against:
        return
    st.subheader("What accuracy costs", anchor=False)
    for column, name in zip(st.columns(len(against)), against, strict=True):
        with column:
            layout.chart(partial(board_charts.tradeoff, board, name), key=f"tradeoff {name}")
    told = [f"{label(name)}: {', '.join(board_charts.front(board, name))}" for name in against]
    st.caption(
        "Up is more accurate, right is more diverse or more novel; the bars are intervals. Beaten by none on both "
        f"(the Pareto front, dashed): {escape('; '.join(told))}."
    )


def by_length(board: Leaderboard) -> None:
    """Draw one metric at every list length, the leading one unless another is chosen."""
    bases = board_tables.bases_by_k(board)
    if not bases:
        return
    st.subheader("By length of the list", anchor=False)
    base = st.selectbox("Metric", bases, board_tables.leading(board, bases), format_func=label, key="by length")
    layout.chart(partial(board_charts.metric_by_k, board, base), key="metric by k")


def pairs(home: Home, name: str, board: Leaderboard) -> None:
    """Draw any two variants against each other, user by user."""
    variants, metrics = [row.variant for row in board.standings], board_tables.per_user(board)
    if len(variants) < 2 or not metrics:
        return
    st.subheader("Any two, user by user", anchor=False)
    left, middle, right = st.columns(3)
    one = left.selectbox("Variant", variants, 0, key="one")
    other = middle.selectbox("Against", [v for v in variants if v != one], 0, key="other")
    metric = right.selectbox("On", metrics, format_func=label, key="duel")
    with layout.problems():
        found = queries.duel(home, name, one, other, metric)
        st.markdown(escape(board_tables.duel_sentence(one, other, metric, found)))


def sliced(home: Home, name: str, board: Leaderboard) -> None:
    """Draw the leading metric for users of whom little or much was known."""
    with layout.problems():
        found = queries.slices(home, name, board.metric)
        if found:
            st.subheader(f"{label(board.metric)} by kind of user", anchor=False)
            layout.table(board_tables.slices(found))
            st.caption(
                "Rarest taste: the largest part of the history outside the most popular fifth of the items. The slice "
                "overlaps the others."
            )


def details(board: Leaderboard) -> None:
    """Draw every metric at one list length, and how each variant came about."""
    st.subheader("Every metric", anchor=False)
    lengths = board_tables.cut_offs(board)
    k = st.segmented_control("Items in the list (k)", lengths, default=board_tables.leading_k(board), key="k")
    st.table(board_tables.all_metrics(board, k if k is not None else board_tables.leading_k(board)), hide_index=True)
    st.subheader("Parameters and cost", anchor=False)
    layout.table(board_tables.settings(board))


def origin(board: Leaderboard, command: str, address: str) -> None:
    """Draw what the leaderboard was made from, and the way to its run in MLflow."""
    st.subheader("Where it comes from", anchor=False)
    layout.table(board_tables.provenance(board))
    st.markdown(f"Start MLflow with this command, then [open the run]({address}):")
    st.code(command, language="bash", wrap_lines=True)
    st.caption(f"Run {board.run_id}")


def registry(home: Home) -> None:
    """Draw who serves now, and every change of that."""
    registered = queries.registered(home).value
    st.subheader("Who serves now", anchor=False)
    if not registered.slots:
        st.info("No model is registered yet: `bakeoff run CONFIG` registers the winner of a bake-off.")
    for slots in registered.slots:
        st.markdown(f"**{escape(slots.model)}**\n\n{bullets(registry_tables.slot_sentences(slots))}")
    if registered.events:
        st.caption("Every change, newest first")
        layout.table(registry_tables.moves(registered.events))


if __name__ == "__main__":
    page()
