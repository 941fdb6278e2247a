"""Experiments: all of them, with status, progress, verdict so far and health."""

import streamlit as st

from dashboards import layout, queries, tables
from dashboards.markdown import escape

COLUMNS = {
    "Experiment": st.column_config.TextColumn(width=285),
    "Verdict so far": st.column_config.TextColumn(help="What the latest decision says, and which variant won."),
    "Health": st.column_config.TextColumn(
        width=185,  # a broken guardrail and its name
        help="Validity first, then guardrails, the age of a running experiment's data, warnings.",
    ),
    "Key": st.column_config.TextColumn(width=110),
    "Days": st.column_config.TextColumn(help="Days with data, of the days planned."),
    "Units": st.column_config.TextColumn(help="Exposed units over all variants, of the units planned."),
    "Progress": st.column_config.ProgressColumn(format="%.0f%%", min_value=0, max_value=100, width=105),
    "Readout": st.column_config.LinkColumn(display_text="Open", width=70),
}
ROW, TALLEST = 35, 458
"""Pixels: of a row of the list, and of a list that leaves a laptop's screen room for the rest; longer ones scroll."""


def page() -> None:
    """Draw the list."""
    loaded = queries.listing(layout.home())
    layout.heading("Experiments", loaded.at)
    listing = loaded.value
    for key, why in listing.damaged.items():
        st.error(f"Experiment {escape(key)} cannot be read: {escape(why)}")
    if not listing.records:
        return layout.teach("No experiment yet.") if not listing.damaged else None
    frame = tables.experiments(listing.records, loaded.at)
    left, middle, right = st.columns([3, 2, 4], vertical_alignment="bottom")
    text = left.text_input("Search", key="search", placeholder="Title or key")
    order = middle.selectbox("Order", list(tables.ORDERS), key="order")
    status = right.pills("Status", sorted(set(frame["Status"])), selection_mode="multi", key="status")
    shown = tables.ordered(tables.filtered(frame, text, status), order)
    if shown.empty:
        st.info("No experiment matches; clear the search or the status filter.")
    else:
        tall = min(ROW * (len(shown) + 1) + 3, TALLEST)
        st.dataframe(shown, column_config=COLUMNS, height=tall, hide_index=True, key="experiments")
    st.caption(f"{len(shown)} of {len(frame)} experiments. A readout opens in a new tab; its address can be shared.")
    return None


if __name__ == "__main__":
    page()
