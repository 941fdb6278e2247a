"""How Streamlit is started on a home: `python -m dashboards.launch --home DIR --port 8501`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.home import Home

APP = Path(__file__).parent / "app.py"
HOST = "127.0.0.1"
PORT = 8501
WARM_UP = "--warm-up"
"""Tells the app to import MLflow behind the first page, so that the pages that need it do not wait for it."""
OPTIONS = {
    "server.address": HOST,  # also keeps Streamlit from asking the internet for this machine's outside address
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "runner.magicEnabled": "false",
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",
    "theme.light.primaryColor": "#2F6FAF",  # Streamlit's own red would make every progress bar look like an alarm
    "theme.dark.primaryColor": "#5B9BD5",
}


def command(home: Home, port: int = PORT) -> list[str]:
    """The command that serves the dashboard of `home` on this machine's `port` until it is interrupted."""
    if not 1 <= port <= 65_535:
        raise ValueError(f"port must be in 1..65535, got {port}")
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    streamlit = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}", *options]
    return [*streamlit, "--", WARM_UP, "--home", str(home.root)]


def home_of(arguments: Sequence[str]) -> Home:
    """The home that `command` put behind the script's name, else the one of the environment (see Home.at)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--home")
    return Home.at(parser.parse_known_args(list(arguments))[0].home)


def main() -> None:
    """Become the dashboard's server."""
    parser = argparse.ArgumentParser(description="Serve the dashboard.")
    parser.add_argument("--home", help="the folder that holds everything (default: $BAKEOFF_HOME, else ./mlruns)")
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args()
    try:
        words = command(Home.at(given.home), given.port)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    os.execv(words[0], words)  # the server takes this process over, so Ctrl-C and signals reach it


if __name__ == "__main__":
    main()
