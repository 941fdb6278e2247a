"""What every verb needs of the terminal it runs in: where to print, progress bars, the home, the configuration."""

import getpass
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from experiments.config import BakeoffConfig
    from experiments.home import Home

YES, NO, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
WIDE = None if sys.stdout.isatty() else 150  # a file or a pipe has no width of its own
console = Console(width=WIDE)
errors = Console(stderr=True, width=WIDE)


def home_at(folder: Path | None) -> "Home":
    """The home that was asked for."""
    from experiments.home import Home

    return Home.at(folder)


def read_config(path: Path, data: Path | None, settings: Sequence[str] | None) -> "BakeoffConfig":
    """The configuration with what the command line overrides."""
    from experiments.config import folder_override, load

    return load(path, [*folder_override(data), *(settings or [])])


def load_log(path: Path, data: Path | None, settings: Sequence[str] | None) -> Any:
    """The interaction log that a configuration, or a data file alone, names."""
    from experiments.config import load_data
    from recsys.data.sources.loader import load

    found = load_data(path, data, settings or ())
    return load(found.source, **found.params)


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Any]:
    """Progress bars on the terminal, or none."""
    from experiments.progress import bars, silent

    if quiet:
        yield silent
        return
    with bars(console) as progress:
        yield progress


def user_name() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def print_json(value: Any) -> None:
    """Print a record as JSON."""
    from bakeoff.records import to_json

    typer.echo(to_json(dict[str, Any], value))


def run_program(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run another program to its end, and end as it does; who ends this process ends the program."""
    import os
    import signal
    import subprocess

    # MLflow starts `uvicorn` by its bare name: this environment's, also where it was never activated
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    words = {**os.environ, "PATH": path, **(environment or {})}
    with subprocess.Popen(command, env=words) as program:  # Ctrl-C reaches both
        before = signal.signal(signal.SIGTERM, lambda *_: program.terminate())
        try:
            code = program.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    raise typer.Exit(code)
