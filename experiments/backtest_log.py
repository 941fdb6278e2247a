"""A backtest from the configuration to its run in MLflow."""

import csv
import hashlib
import io
import json
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from bakeoff.catalogue import check_name
from bakeoff.records import to_json
from experiments import plots
from experiments.backtest import Judged, backtest
from experiments.backtest_board import Backtest
from experiments.backtest_rank import rank
from experiments.config import BakeoffConfig
from experiments.home import Home
from experiments.progress import Progress, silent
from experiments.tracking import QUESTION, Run, Tracker, finished_run
from experiments.train import question
from recsys.data.dataset import Dataset

KIND = "backtest"


def run(
    config: BakeoffConfig,
    dataset: Dataset,
    home: Home,
    *,
    at: datetime,
    against: str | None = None,
    progress: Progress = silent,
) -> Backtest:
    """Tune, judge in every window, and log it as a run of its own; asked the same again, the run there is stays.

    against: the variant that the others are compared with; None: the best.
    """
    if against is not None:
        check_name(config.variants, against, "variant")
    judged = backtest(config, dataset, home, progress)
    found = rank(config, dataset, judged, against=against, at=at)
    asked = _question(config, dataset, against)
    if (there := finished_run(home, KIND, asked)) is not None:
        return replace(found, run_id=there)
    with Tracker(home).run(config.name, f"backtest {config.name}", kind=KIND, tags={QUESTION: asked}) as opened:
        found = replace(found, run_id=opened.id)
        _log(opened, config, dataset, judged, found)
    return found


def _question(config: BakeoffConfig, dataset: Dataset, against: str | None) -> str:
    """A digest of what a backtest's outcome depends on."""
    text = json.dumps([question(config, dataset), config.backtest.model_dump(mode="json"), against])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _log(opened: Run, config: BakeoffConfig, dataset: Dataset, judged: Judged, found: Backtest) -> None:
    opened.text(config.model_dump_json(indent=2), "config.json")
    opened.log(
        params={
            "seed": config.seed,
            "windows": found.method,
            "metric": found.metric,
            "trials": config.tuning.trials,
            "reference": found.reference,
            "variants": ", ".join(line.variant for line in found.lines),
        },
        metrics=_metrics(found),
        tags={"bakeoff.dataset": dataset.name, "bakeoff.fingerprint": dataset.fingerprint, "best": _best(found)},
    )
    opened.lineage(dataset, config.data.model_dump_json())
    opened.text(to_json(Backtest, found), "backtest.json")
    opened.text(_table(found), "windows.csv")
    opened.figure(plots.by_window(found), "plots/by_window.png")
    with tempfile.TemporaryDirectory() as folder:
        for variant, card in judged.cards.items():
            path = Path(folder) / f"{variant}.parquet"
            pq.write_table(card.table(), path)
            opened.file(path, "scorecards")


def _metrics(found: Backtest) -> dict[str, float]:
    """The leading metric of each variant with its ends, its difference from the reference, and the windows it led."""
    metrics: dict[str, float] = {}
    for line in found.lines:
        name = f"{found.metric}/{line.variant}"
        metrics |= {name: line.cell.mean, f"{name}_low": line.cell.low, f"{name}_high": line.cell.high}
        metrics |= {f"windows_led/{line.variant}": line.led, f"validation/{line.variant}": line.validation}
        if line.rival is not None:
            name = f"difference/{line.variant}"
            metrics |= {name: line.rival.difference, f"{name}_low": line.rival.low, f"{name}_high": line.rival.high}
    return metrics


def _best(found: Backtest) -> str:
    return found.lines[0].variant


def _table(found: Backtest) -> str:
    """A row per window, a column per variant, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    variants = [line.variant for line in found.lines]
    writer.writerow(["from", "to", "rows", "users", "new_users", *variants])
    for window in found.windows:
        means = (f"{window.means[variant]:.6g}" for variant in variants)
        writer.writerow([window.start, window.end, window.rows, window.users, window.new_users, *means])
    return text.getvalue()
