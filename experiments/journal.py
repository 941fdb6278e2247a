"""The journal: every move of an alias with its decision, so that any of them can be understood and taken back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bakeoff import durable
from bakeoff.records import from_json, to_json
from experiments.home import Home

Change = Literal["register", "promote", "rollback", "by hand"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One move of an alias. version, before: version numbers, None for no version; reasons: in sentences."""

    at: datetime
    model: str
    change: Change
    alias: str
    version: int | None
    before: int | None
    experiment: str = ""
    verdict: str = ""
    reasons: tuple[str, ...] = field(default=())
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Which version stands where now; previous: what a rollback would restore; last: the champion's last move."""

    model: str
    champion: int | None
    challenger: int | None
    previous: int | None
    since: datetime | None
    last: Event | None


class Journal:
    """The append-only record of alias moves, one JSON object a line."""

    def __init__(self, home: Home) -> None:
        self.path = home.promotions

    def append(self, event: Event) -> None:
        """Write the event; it is on disk when this returns."""
        durable.append_line(self.path, to_json(Event, event, indent=None))

    def events(self, model: str | None = None) -> list[Event]:
        """What happened, oldest first, to one model or to all."""
        if not self.path.exists():
            return []
        lines = enumerate(self.path.read_bytes().splitlines(), start=1)
        events = [self._event(line, number) for number, line in lines if line.strip()]
        return [event for event in events if model in (None, event.model)]

    def _event(self, line: bytes, number: int) -> Event:
        try:
            return from_json(Event, line)
        except ValueError:
            raise ValueError(f"{self.path}:{number} is damaged: {line[:60]!r}; mend or delete the line") from None


def previous_champion(moves: list[Event], champion: int | None) -> int | None:
    """The version a rollback restores: what stood before the move that made `champion` champion.

    A rollback is itself a move, so rolling back twice goes back two steps and does not swing between two versions.
    Putting back by hand the version that stood before is a rollback too.
    """
    stack: list[int] = []
    for move in moves:
        put_back = move.change == "by hand" and stack[-2:-1] == [move.version]
        if stack and (move.change == "rollback" or put_back):
            stack.pop()
        elif move.version is not None and (not stack or stack[-1] != move.version):
            stack.append(move.version)
    if champion is None or not stack or stack[-1] != champion:
        return None
    return stack[-2] if len(stack) > 1 else None
