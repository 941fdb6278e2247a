"""Notes on an experiment: what people want remembered beside its numbers. Appended, never changed."""

from dataclasses import dataclass
from datetime import datetime

from bakeoff import durable
from bakeoff.catalogue import check_name
from bakeoff.records import from_json, to_json
from experiments.home import Home
from experiments.store import ExperimentStore

LONGEST = 2_000


@dataclass(frozen=True, kw_only=True)
class Note:
    """One note: when, by whom, what."""

    at: datetime
    by: str
    text: str


class Notes:
    """The notes under home/experiments/<key>/notes.jsonl, one JSON object a line."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def of(self, experiment: str) -> list[Note]:
        """The notes on one experiment, oldest first."""
        path = self.home.experiments / experiment / "notes.jsonl"
        if not path.exists():
            return []
        return [from_json(Note, line) for line in path.read_bytes().splitlines() if line.strip()]

    def add(self, experiment: str, note: Note) -> None:
        """Keep a note; it is on disk when this returns."""
        check_name(dict.fromkeys(ExperimentStore(self.home).keys()), experiment, "experiment")
        if not note.text.strip():
            raise ValueError("a note needs a text, got none")
        if len(note.text) > LONGEST:
            raise ValueError(f"a note may have {LONGEST:,} characters, got {len(note.text):,}; link to the long form")
        durable.append_line(self.home.experiments / experiment / "notes.jsonl", to_json(Note, note, indent=None))
