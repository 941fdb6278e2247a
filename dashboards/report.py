"""The report of one experiment: one HTML page that stands alone. `python -m dashboards.report EXPERIMENT --out FILE`.

No script, no font and no picture is fetched from anywhere: the page can be mailed and read in ten years.
"""

import argparse
import base64
import html
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from abtest.analysis import words
from abtest.types import Comparison, Readout
from bakeoff import __version__, durable
from dashboards import charts, pictures, readable, readout_tables, registry_tables, tables
from dashboards.numbers import label, moment
from experiments.home import Home
from experiments.journal import Event, Journal
from experiments.notes import Note, Notes
from experiments.store import ExperimentStore, Record

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #ffffff; --soft: #6b6b70; --line: #d8d8dc; --box: #f4f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --paper: #18181b; --soft: #a0a0a8; --line: #3a3a40; --box: #232328; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 80rem;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.soft { color: var(--soft); } .verdict { background: var(--box); border-left: 5px solid #3B82C4; padding: .8rem 1rem; }
.invalid { border-left-color: #D55E40; } .ship { border-left-color: #109070; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } img { max-width: 100%; background: #fff; border-radius: 4px; }
@media print { body { margin: 0; max-width: none; } }
"""


def report(record: Record, notes: Sequence[Note] = (), changes: Sequence[Event] = ()) -> str:
    """The whole page: verdict, why, validity, arms, effects, segments, definitions, notes. What must not be read is
    withheld here as on the dashboard. changes: the alias moves that the decision caused, oldest first."""
    definition, readout = record.definition, record.readout
    title = definition.title or definition.experiment.key
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="soft">{_text(_about(record))}</p>',
        f"<p>Hypothesis: {_text(definition.hypothesis)}</p>" if definition.hypothesis else "",
    ]
    if readout is None:
        parts.append('<p class="verdict">Not analysed yet: there are no numbers to report.</p>')
    else:
        parts += [_verdict(record, readout, changes), *_body(record, readout)]
    parts += [_notes(notes), f'<p class="soft">Made by bakeoff {_text(__version__)}.</p>']
    return _page(title, "\n".join(part for part in parts if part))


def main() -> None:
    """Write the report of an experiment to a file."""
    parser = argparse.ArgumentParser(
        prog="bakeoff report", description="Write an experiment's report as one HTML page."
    )
    parser.add_argument("experiment", help="its key; `bakeoff experiment list` shows them")
    parser.add_argument("--out", type=Path, help="the file; default: EXPERIMENT.html")
    parser.add_argument("--home", help="the folder that holds everything (default: $BAKEOFF_HOME, else ./mlruns)")
    given = parser.parse_args()
    try:
        home = Home.at(given.home)
        record, notes = ExperimentStore(home).record(given.experiment), Notes(home).of(given.experiment)
        changes = [event for event in Journal(home).events() if event.experiment == given.experiment]
        path = given.out or Path(f"{given.experiment}.html")
        durable.write_bytes(path, report(record, notes, changes).encode())
    except (LookupError, ValueError, OSError) as error:
        print(f"bakeoff: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"Written: {path}")


def _about(record: Record) -> str:
    definition, readout = record.definition, record.readout
    control, *others = (variant.name for variant in definition.experiment.variants)
    read = f" · analysed {moment(readout.as_of)}" if readout else ""
    status = tables.STATUSES[definition.experiment.status]
    return f"{definition.experiment.key} · {' and '.join(others)} against {control} · {status}{read}"


def _verdict(record: Record, readout: Readout, changes: Sequence[Event]) -> str:
    decision = record.decision
    if decision is None or readable.overruled(readout, decision):
        state = readable.undecided(record)
        return f'<p class="verdict{" invalid" if readable.invalid(readout) else ""}">{_text(state)}</p>'
    sentence, step = words.verdict_sentence(decision), registry_tables.next_step(decision, changes)
    late = " This verdict was given before the latest analysis." if readable.outdated(readout, decision) else ""
    return (
        f'<div class="verdict {decision.verdict}"><strong>{_text(sentence)}</strong> {_text(step + late)}'
        f"{_bullets(decision.reasons)}</div>"
    )


def _body(record: Record, readout: Readout) -> list[str]:
    definition, withheld = record.definition, readable.withheld(readout, record.decision)
    said = f"{words.ratio_sentence(readout.srm)} {words.sample_sentence(readout)} {readout_tables.period(readout)}"
    parts = ["<h2>Who saw what</h2>", _table(readout_tables.arms(definition, readout)), f"<p>{_text(said)}</p>"]
    parts.append(_bullets(readout.warnings))
    if readout.checks:
        parts += ["<h2>May the numbers be read?</h2>", _table(readout_tables.checks(readout))]
    parts.append("<h2>Effects</h2>")
    if withheld:
        return [*parts, f'<p class="verdict invalid">Effects withheld: {_text(withheld)}</p>']
    comparisons = readable.readable(readout)
    parts += [_picture(comparisons), _table(readout_tables.effects(readout))]
    parts += [f"<p>{_text(readable.intervals(readout))}</p>", _bullets(words.method_sentences(readout))]
    for name, found in readable.by_segment(readout).items():
        parts += [f"<h2>{_text(name)}</h2>", _table(readout_tables.segments(found))]
    parts += ["<h2>What the metrics mean</h2>", _bullets(readout_tables.meanings(definition.metrics))]
    if record.decision is not None:
        parts.append(f'<p class="soft">{_text(readout_tables.rule(record.decision.rule))}</p>')
    return parts


def _picture(comparisons: Sequence[Comparison]) -> str:
    if not charts.has_interval(comparisons):
        return ""
    content = base64.b64encode(pictures.forest_png(comparisons)).decode()
    names = ", ".join(dict.fromkeys(label(one.metric.name) for one in comparisons))
    return f'<img alt="{_text(f"Relative change with interval of {names}")}" src="data:image/png;base64,{content}">'


def _notes(notes: Sequence[Note]) -> str:
    told = [f"{moment(note.at)}, {note.by}: {note.text}" for note in notes]
    return f"<h2>Notes</h2>{_bullets(told)}" if told else ""


def _table(frame: pd.DataFrame) -> str:
    return f'<div class="wide">{frame.to_html(index=False, border=0, escape=True)}</div>' if len(frame) else ""


def _bullets(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(sentence)}</li>' for sentence in sentences)}</ul>" if sentences else ""


def _text(text: str) -> str:
    return html.escape(text)


def _page(title: str, body: str) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_text(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


if __name__ == "__main__":
    main()
