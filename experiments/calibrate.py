"""`bakeoff calibrate`: the certificate of this installation; cell by cell over the cores, resumable, kept at home."""

import hashlib
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import abtest
from abtest.certificate.cells import Cell, all_cells, run
from abtest.certificate.lines import Certificate, Line
from bakeoff import __version__
from bakeoff.durable import append_line, write_bytes
from bakeoff.records import from_json, to_json
from experiments.home import Home
from experiments.progress import Progress, silent

SEED = 20_240_229
TESTED = ("statistics", "certificate", "assignment")
"""The folders of abtest whose code the certificate is about."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A line of the journal: a cell that is done, and what it was done with."""

    key: str
    runs: int
    seed: int
    version: str
    line: Line


def calibrate(
    home: Home, *, runs: int = 10_000, workers: int = 2, only: str = "", seed: int = SEED, progress: Progress = silent
) -> Certificate:
    """The certificate over `runs` experiments per cell; cells that are done with this code already are not done again.

    only: the methods that have this in their name. A whole certificate is written to the home, a part is not.
    """
    if runs < 1 or workers < 1:
        raise ValueError(f"runs and workers must be at least 1, got {runs} and {workers}")
    cells, version = all_cells(only), code_version()
    done = {found.key: found.line for found in _finished(home, runs, seed, version)}
    missing = sorted((cell for cell in cells if cell.key not in done), key=lambda cell: not cell.is_long)
    progress("calibrate", len(cells) - len(missing), len(cells), "")
    for number, (cell, line) in enumerate(_run(missing, runs, seed, workers), start=len(cells) - len(missing) + 1):
        done[cell.key] = line
        finished = Finished(key=cell.key, runs=runs, seed=seed, version=version, line=line)
        append_line(_journal(home), to_json(Finished, finished, indent=None))
        progress("calibrate", number, len(cells), f"{cell.method} {cell.scenario}")
    found = Certificate(version=version, runs=runs, seed=seed, lines=tuple(done[cell.key] for cell in cells))
    if not only:
        write_bytes(home.certificate, to_json(Certificate, found).encode())
    return found


def stored(home: Home) -> Certificate | None:
    """The last whole certificate of the home; None where there is none."""
    return from_json(Certificate, home.certificate.read_bytes()) if home.certificate.exists() else None


def is_current(certificate: Certificate) -> bool:
    """Whether it was made with the code that is installed."""
    return certificate.version == code_version()


def code_version() -> str:
    """The version and a fingerprint of the code under test: a changed formula needs a new certificate."""
    root = Path(abtest.__file__).parent
    code = hashlib.sha256()
    for path in sorted(path for folder in TESTED for path in (root / folder).glob("*.py")):
        code.update(path.name.encode() + path.read_bytes())
    return f"{__version__}+{code.hexdigest()[:12]}"


def _finished(home: Home, runs: int, seed: int, version: str) -> Iterator[Finished]:
    journal = _journal(home)
    for text in journal.read_text().splitlines() if journal.exists() else ():
        try:
            found = from_json(Finished, text)
        except ValueError:  # half a line of a run that was killed, or one of an older version
            continue
        if (found.runs, found.seed, found.version) == (runs, seed, version):
            yield found


def _journal(home: Home) -> Path:
    return home.certificate.with_suffix(".jsonl")


def _run(cells: list[Cell], runs: int, seed: int, workers: int) -> Iterator[tuple[Cell, Line]]:
    """The cells with their lines, as they are done."""
    if workers == 1 or len(cells) < 2:
        yield from ((cell, run(cell, runs, seed)) for cell in cells)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy OpenMP runtimes in an unknown state
    with ProcessPoolExecutor(min(workers, len(cells)), mp_context=spawn, initializer=_start_worker) as pool:
        waiting = {pool.submit(run, cell, runs, seed): cell for cell in cells}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker() -> None:
    # an interrupt is for the parent, which lets the cells in hand finish
    signal.signal(signal.SIGINT, signal.SIG_IGN)
