"""The dashboard: seven pages over one home. Started by `bakeoff dashboard`, or by `python -m dashboards.launch`."""

import experiments.environment  # noqa: F401, I001  threads and telemetry, before numpy is imported

import importlib
import sys
import threading

import streamlit as st

from dashboards import launch

# not in a folder "pages": Streamlit would serve its files without this script until somebody opens the first page
PAGES = (
    ("views/experiments.py", "Experiments", "experiments"),
    ("views/readout.py", "Readout", "readout"),
    ("views/slates.py", "What users saw", "slates"),
    ("views/plan.py", "Plan", "plan"),
    ("views/models.py", "Models", "models"),
    ("views/offline_online.py", "Offline against online", "offline-online"),
    ("views/serving.py", "Serving", "serving"),
)

# Streamlit leaves a sixth of a laptop's screen empty above the title and below the last line
STYLE = "<style>.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 3rem; }</style>"


def main() -> None:
    """Draw the page that the address names; Experiments when it names none."""
    st.set_page_config(page_title="Bakeoff", page_icon="🧁", layout="wide")
    st.html(STYLE)
    pages = [st.Page(path, title=title, url_path=url) for path, title, url in PAGES]
    st.navigation(pages, position="top").run()
    if launch.WARM_UP in sys.argv:
        warm_up()


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Import behind the reader's back what takes seconds; once for each server."""
    threading.Thread(target=importlib.import_module, args=("experiments.promises",), daemon=True).start()


if __name__ == "__main__":
    main()
