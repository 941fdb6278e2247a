"""What the command line prints: values in, tables and sentences out. Computes nothing."""

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from abtest.analysis import words
from abtest.simulation.calibration import FitReport
from abtest.types import Decision, Readout
from bakeoff.bootstrap import Paired
from bakeoff.records import to_json
from experiments import show_analysis, show_front, show_slices
from experiments.board import Cell, Leaderboard, Standing
from experiments.home import Home
from experiments.journal import Event, Slots
from experiments.loop import Outcome
from experiments.store import Definition, Record
from experiments.tune import Tuned
from recsys.data.problems import DataError
from recsys.data.sources.loaded import Loaded
from recsys.data.validation import Quality, describe

SHOWN = ("ndcg", "recall", "hit_rate", "mrr", "novelty", "diversity", "coverage", "gini")
"""The metrics that fit on a line beside the leading one; --json and MLflow have all."""
VERDICTS = {"ship": "✔ ship", "stop": "✖ stop", "continue": "… continue", "invalid": "⚠ invalid"}


def board(console: Console, board: Leaderboard, as_json: bool = False) -> None:
    """The leaderboard: the leading metric with its interval, the others as means, what cannot be told from the best."""
    if as_json:
        return _json(Leaderboard, board)
    base, _, k = board.metric.rpartition("_")
    others = [f"{name}_{k}" for name in SHOWN if f"{name}_{k}" in board.best.cells and f"{name}_{k}" != board.metric]
    table = Table(
        title=f"{board.name}: {board.users:,} users, {board.split}", title_justify="left", padding=(0, 1, 0, 0)
    )
    for column in ("variant", f"{base}@{k}, 95% interval", "minus the best"):
        table.add_column(column, no_wrap=True)
    for name in others:
        table.add_column(name.removesuffix(f"_{k}").replace("_rate", ""), justify="right", no_wrap=True)
    table.add_column("version", justify="right", no_wrap=True)
    for row in board.standings:
        table.add_row(
            f"[bold]{row.variant}[/bold]" if row is board.best else row.variant,
            _interval(row.cells[board.metric]),
            _rival(row),
            *(f"{row.cells[name].mean:.3f}" for name in others),
            _version(row.version),
        )
    console.print(table)
    console.print(
        "Paired bootstrap over users, p adjusted by Holm; ≈ cannot be told from the best.\n"
        f"Data {board.dataset} ({board.fingerprint}), seed {board.seed}, revision {board.revision}.",
        style="dim",
        highlight=False,
    )
    show_slices.slices(console, board)
    for row in board.standings:
        if row.note:
            console.print(f"{row.variant}: {row.note}", style="yellow", markup=False, highlight=False)
        if row.front is not None:
            show_front.front(console, row.variant, row.front)
    return None


def comparison(console: Console, one: str, other: str, metric: str, pair: Paired, as_json: bool = False) -> None:
    """Two variants on one metric, in a sentence: who is better, by how much, for how many users."""
    if as_json:
        return _json(Paired, pair)
    better = pair.p_value < 1 - pair.level
    verdict = (
        f"{one if pair.difference > 0 else other} is better" if better else f"{one} and {other} cannot be told apart"
    )
    size = f"{pair.difference:+.4f} ({pair.level:.0%} interval {pair.low:+.4f} to {pair.high:+.4f}"
    console.print(
        f"{verdict} on {metric}: {one} minus {other} is {size}, {words.p_words(pair.p_value)}) over {pair.n:,} users; "
        f"{one} is better for {pair.share_better:.0%} of them, worse for {pair.share_worse:.0%}.",
        highlight=False,
    )
    return None


def readout(console: Console, readout: Readout, definition: Definition, as_json: bool = False) -> None:
    """An experiment's readout: who was seen, whether the numbers may be read, the effects, the warnings."""
    if as_json:
        return _json(Readout, readout)
    console.print(f"[bold]{definition.title}[/bold]  ({readout.experiment})")
    arms = Table()
    for column in ("variant", "version", "planned", "units", "exposures"):
        arms.add_column(column, justify="left" if column == "variant" else "right")
    versions = {v.name: v.payload.get("version", "-") for v in definition.experiment.variants}
    for arm in readout.arms:
        name = f"{arm.variant} (control)" if arm.variant == readout.control else arm.variant
        version = versions[arm.variant]
        shown = f"v{version}" if isinstance(version, int) else str(version)
        arms.add_row(name, shown, f"{arm.share:.0%}", f"{arm.units:,}", f"{arm.exposures:,}")
    console.print(arms)
    console.print(words.ratio_sentence(readout.srm), style="bold red" if readout.srm.alarm else "")
    console.print(words.sample_sentence(readout))
    show_analysis.findings(console, readout)
    return None


def decision(console: Console, decision: Decision, as_json: bool = False) -> None:
    """The verdict, its reasons and what to do now."""
    if as_json:
        return _json(Decision, decision)
    style = {"ship": "bold green", "stop": "bold red", "invalid": "bold red"}.get(decision.verdict, "bold yellow")
    console.print(f"{VERDICTS[decision.verdict]}: {words.verdict_sentence(decision)}", style=style, markup=False)
    for reason in decision.reasons:
        console.print(f"  - {reason}", markup=False, highlight=False)
    console.print(f"Next: {words.next_step(decision)}", markup=False)
    return None


def outcome(console: Console, outcome: Outcome, home: Home) -> None:
    """The summary at the end of a run: leaderboard, A/B result, verdict, promotion, where to look."""
    board(console, outcome.board)
    if outcome.response is not None:
        console.print("[bold]Response model fitted on the log[/bold]")
        for line in _response(outcome.response.report):
            console.print(f"  {line}", markup=False, highlight=False)
    if outcome.readout is not None and outcome.definition is not None and outcome.decision is not None:
        readout(console, outcome.readout, outcome.definition)
        decision(console, outcome.decision)
    if outcome.note:
        console.print(outcome.note, markup=False, style="yellow")
    slots(console, None, outcome.slots)
    _where_to_look(console, outcome, home)


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """The same for machines."""
    parts = {
        "leaderboard": (Leaderboard, outcome.board),
        "slots": (Slots, outcome.slots),
        "readout": (Readout, outcome.readout),
        "decision": (Decision, outcome.decision),
        "promotion": (Event, outcome.promotion),
    }
    values = {
        name: None if value is None else json.loads(to_json(kind, value)) for name, (kind, value) in parts.items()
    }
    return {**values, "note": outcome.note}


def tuned(console: Console, tuned: Mapping[str, Tuned], metric: str, as_json: bool = False) -> None:
    """What the search found for each variant."""
    if as_json:
        return _json(dict[str, Any], {name: _found(best) for name, best in tuned.items()})
    table = Table(title="Best on validation")
    for column in ("variant", metric, "trials", "parameters"):
        table.add_column(column)
    for name, best in tuned.items():
        value = f"{best.value:.4f}" if best.value == best.value else "not searched"
        table.add_row(name, value, str(len(best.trials)), escape(_params(best.params)))
    console.print(table)
    for name, best in tuned.items():
        if best.failures:
            count = f"{len(best.failures)} of {len(best.trials)} trials of {name} failed"
            console.print(f"{count}, the first: {best.failures[0]}", style="yellow", markup=False, highlight=False)
        if best.front is not None:
            show_front.front(console, name, best.front)
    return None


def _found(best: Tuned) -> dict[str, Any]:
    front = None if best.front is None else dataclasses.asdict(best.front)
    return {
        "params": best.params,
        "value": best.value,
        "trials": len(best.trials),
        "failures": best.failures,
        "front": front,
    }


def slots(console: Console, before: Slots | None, now: Slots, as_json: bool = False) -> None:
    """Champion, challenger and previous, and what they were before."""
    if as_json:
        return _json(dict[str, Slots | None], {"before": before, "now": now})
    table = Table(title=f"{now.model}: who serves")
    table.add_column("slot")
    if before is not None:
        table.add_column("before")
    table.add_column("now")
    for name in ("champion", "challenger", "previous"):
        was = [] if before is None else [_version(getattr(before, name))]
        table.add_row(name, *was, _version(getattr(now, name)))
    console.print(table)
    return None


def registered(console: Console, found: Sequence[Slots], as_json: bool = False) -> None:
    """The registered models."""
    if as_json:
        return _json(list[Slots], found)
    table = Table(title="Registered models")
    for column in ("model", "champion", "since", "made by", "challenger", "previous"):
        table.add_column(column)
    for slot in found:
        since = f"{slot.since:%Y-%m-%d %H:%M}" if slot.since else "-"
        # a rollback carries the experiment that it undoes, which did not make this champion
        how = (slot.last.experiment if slot.last.change == "promote" else slot.last.change) if slot.last else "-"
        table.add_row(
            slot.model, _version(slot.champion), since, how, _version(slot.challenger), _version(slot.previous)
        )
    console.print(table if found else "No model is registered yet. `bakeoff train CONFIG` registers the winner.")
    return None


def journal(console: Console, events: Sequence[Event], as_json: bool = False) -> None:
    """The journal of alias moves, oldest first."""
    if as_json:
        return _json(list[Event], events)
    table = Table(title="Journal")
    for column in ("at", "model", "change", "alias", "before", "version", "experiment", "by", "reasons"):
        table.add_column(column)
    for event in events:
        table.add_row(
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            event.model,
            event.change,
            event.alias,
            _version(event.before),
            _version(event.version),
            event.experiment or "-",
            event.by,
            escape(" ".join(event.reasons)),
        )
    console.print(table if events else "Nothing happened yet.")
    return None


def experiments(console: Console, records: Sequence[Record], as_json: bool = False) -> None:
    """The experiments with their verdicts."""
    if as_json:
        return _json(list[dict[str, Any]], [_experiment(record) for record in records])
    table = Table(title="Experiments")
    for column in ("experiment", "title", "status", "units", "verdict"):
        table.add_column(column)
    for row in map(_experiment, records):
        verdict = VERDICTS[row["verdict"]] if row["verdict"] else "-"
        table.add_row(row["key"], escape(row["title"]), row["status"], f"{row['units']:,}", verdict)
    console.print(table if records else "No experiment yet. `bakeoff run configs/demo.yaml` makes one.")
    return None


def description(console: Console, loaded: Loaded, as_json: bool = False) -> None:
    """What a data set holds."""
    found = describe(loaded.dataset)
    if as_json:
        return _json(dict[str, Any], _plain(dataclasses.asdict(found)))
    _pairs(console, "Data set", found.rows())
    return None


def quality(console: Console, report: Quality, as_json: bool = False) -> None:
    """What is wrong or odd in a data set."""
    if as_json:
        return _json(dict[str, Any], {**_plain(dataclasses.asdict(report)), "dropped": report.dropped})
    _pairs(console, "Data quality", report.rows())
    for problem in report.problems:
        for sentence in problem.sentences(3):
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    return None


def refused(console: Console, error: DataError, as_json: bool = False) -> None:
    """The bad rows for which a data set is refused."""
    if as_json:
        return _json(dict[str, Any], {"problems": _plain([dataclasses.asdict(each) for each in error.problems])})
    console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    return None


def _response(report: FitReport) -> list[str]:
    return [
        f"AUC on held-out rows {report.auc_held_out:.3f} (popularity alone {report.auc_popularity:.3f}), "
        f"of the simulated choices {report.auc_simulated:.3f}",
        f"popularity Gini {report.gini_log:.2f} in the log, {report.gini_simulated:.2f} simulated; "
        f"activity KS distance {report.activity_ks:.3f}",
        f"fitted: {', '.join(report.fitted)}",
        f"defaults: {', '.join(report.defaulted)}",
    ]


def _where_to_look(console: Console, outcome: Outcome, home: Home) -> None:
    place = f" --home {shlex.quote(str(home.root))}"
    console.print("[bold]Where to look[/bold]")
    console.print(f"  the dashboard     bakeoff dashboard{place}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  MLflow            bakeoff mlflow{place}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  the leaderboard   bakeoff leaderboard {outcome.board.name}{place}", markup=False, soft_wrap=True)
    if outcome.promotion is not None:
        console.print(f"  take it back      bakeoff rollback {outcome.board.name}{place}", markup=False, soft_wrap=True)


def _interval(cell: Cell) -> str:
    return f"{cell.mean:.4f} [{cell.low:.4f}, {cell.high:.4f}]".replace("[", "\\[")


def _rival(row: Standing) -> str:
    rival = row.rival
    if rival is None:
        return "best"
    sign = "≈ " if row.tied else ""
    return f"{sign}{rival.difference:+.4f} \\[{rival.low:+.4f}, {rival.high:+.4f}] {words.p_words(rival.p_value)}"


def _version(version: int | None) -> str:
    return f"v{version}" if version is not None else "-"


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items() if k != "parts")


def _experiment(record: Record) -> dict[str, Any]:
    experiment, decision = record.definition.experiment, record.decision
    return {
        "key": experiment.key,
        "title": record.definition.title,
        "status": experiment.status,
        "units": sum(arm.units for arm in record.readout.arms) if record.readout else 0,
        "verdict": decision.verdict if decision else None,
        "winner": decision.winner if decision else None,
    }


def _pairs(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    table = Table(title=title, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, value in rows:
        table.add_row(what, escape(value))
    console.print(table)


def _plain(value: Any) -> Any:
    """Arrays as lists, and moments as ISO text (None for no moment), at any depth."""
    match value:
        case dict():
            return {key: _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case np.ndarray():
            return _plain(value.tolist())
        case np.datetime64():
            return None if np.isnat(value) else str(value)
    return value


def _json(kind: Any, value: Any) -> None:
    print(to_json(kind, value))
