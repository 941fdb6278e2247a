"""What every page has: its heading with the moment the data was read, and errors as sentences."""

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from dashboards import operators, queries
from dashboards.launch import home_of
from dashboards.markdown import cell, escape
from dashboards.numbers import moment
from experiments.home import Home

if TYPE_CHECKING:
    import altair as alt


def home() -> Home:
    """The home this dashboard was started on."""
    return home_of(sys.argv[1:])


def heading(title: str, at: datetime) -> None:
    """The page's title; beside it when the data was read, and a button that reads it again."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(escape(title), anchor=False, width="stretch")
        st.caption(f"As of {moment(at)}", width="content")
        st.button("Refresh", key="refresh", on_click=queries.refresh, help="Read everything again")
        operators.entrance()


@contextmanager
def problems() -> Iterator[None]:
    """Inside, what cannot be found or read ends the block and stands on the page as one sentence."""
    try:
        yield
    except (LookupError, ValueError) as error:
        st.error(escape(str(error)))


def teach(what: str) -> None:
    """Say that there is nothing yet, and the commands that make the first."""
    st.info(f"{escape(what)} One of these makes the first:")
    st.code(
        "make demo                            # the whole line on a synthetic market, in minutes\n"
        "bakeoff run configs/movielens.yaml   # your own configuration, on your own log",
        language="bash",
    )


def table(frame: pd.DataFrame) -> None:
    """A table whose cells stand as they are: Streamlit would read Markdown in them."""
    st.table(frame.map(cell).rename(columns=escape), hide_index=True)


def chart(drawn: "Callable[[], alt.Chart | alt.LayerChart]", key: str) -> None:
    """Draw a chart: the function that makes it with its arguments (`functools.partial`), made once."""
    st.vega_lite_chart(spec=_spec(drawn), key=key)


# Altair takes a tenth of a second for a chart, half of it for checking what the tests have checked; Streamlit's own
# hashing of the data would take as long
@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={partial: pickle.dumps})
def _spec(drawn: "Callable[[], alt.Chart | alt.LayerChart]") -> dict[str, Any]:
    spec: dict[str, Any] = drawn().to_dict(validate=False)
    spec.pop("config")  # Altair's own width and height: the page gives the chart its place
    return spec


def chooser(name: str, title: str, options: tuple[str, ...], titles: dict[str, str] | None = None) -> str | None:
    """A choice that lives in the address (`?name=...`), so that a page can be shared; the first where none is named.

    A name in the address that is not among the options is returned as it is: the page says that it is unknown.
    """
    asked = st.query_params.get(name)
    index = 0 if asked is None else options.index(asked) if asked in options else None
    key = f"choose {name} {asked}"  # a new address makes a new widget, else the old one would hold on to its value

    def share() -> None:
        if st.session_state[key] is not None:
            st.query_params[name] = st.session_state[key]

    shown = titles or {}
    chosen = st.selectbox(
        title,
        options,
        index=index,
        key=key,
        on_change=share,
        format_func=lambda option: shown.get(option, option),
        placeholder="Choose one",
    )
    return chosen if chosen is not None else asked
