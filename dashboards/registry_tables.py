"""The registry for people: who serves, and every change of that. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from abtest.analysis import words
from abtest.types import Decision
from dashboards.numbers import ABSENT, moment

if TYPE_CHECKING:  # the registry imports MLflow, which takes seconds
    from experiments.journal import Event, Slots


def slot_sentences(slots: "Slots") -> list[str]:
    """Who serves now, since when, by which decision, who stands by, and what a rollback would bring back."""
    if slots.champion is None:
        return [f"No champion: no version of {slots.model} serves as the default."]
    since = f" since {moment(slots.since)}" if slots.since else ", since an unrecorded change"
    why = f", by the decision on {slots.last.experiment}" if slots.last and slots.last.experiment else ""
    return [
        f"Champion: v{slots.champion}{since}{why}.",
        "Challenger: none." if slots.challenger is None else f"Challenger: v{slots.challenger}.",
        "Nothing to roll back to." if slots.previous is None else f"A rollback restores v{slots.previous}.",
    ]


def next_step(decision: Decision, changes: Sequence["Event"]) -> str:
    """What to do now; where the winner was promoted already, when and by whom. changes: the alias moves that the
    decision caused, oldest first."""
    moved = [event for event in changes if event.alias == "champion"]
    if not moved or moved[-1].change != "promote":
        return words.next_step(decision)
    done = moved[-1]
    by = f" by {done.by}" if done.by else ""
    return (
        f"Done: {_version(done.version)} of {done.model} is champion since {moment(done.at)}{by}. Watch the guardrails."
    )


def slots(now: "Slots", events: Sequence["Event"]) -> pd.DataFrame:
    """Champion, challenger and previous: which version, since when, by which decision. events: newest first."""
    rows = []
    for name, version in (("champion", now.champion), ("challenger", now.challenger), ("previous", now.previous)):
        alias = "champion" if name == "previous" else name
        made = next((e for e in events if (e.model, e.alias, e.version) == (now.model, alias, version)), None)
        rows.append(
            {
                "Slot": name,
                "Version": _version(version),
                "Since": moment(made.at) if made and version is not None else ABSENT,
                "By the decision on": (made.experiment or ABSENT) if made and version is not None else ABSENT,
                "By": (made.by or ABSENT) if made and version is not None else ABSENT,
            }
        )
    return pd.DataFrame(rows)


def moves(events: Sequence["Event"]) -> pd.DataFrame:
    """The journal of alias changes, in the order given."""
    rows = [
        {
            "When": moment(event.at),
            "Model": event.model,
            "Change": event.change,
            "Alias": event.alias,
            "Version": _version(event.version),
            "Before": _version(event.before),
            "Experiment": event.experiment or ABSENT,
            "Why": " ".join(event.reasons) or ABSENT,
            "By": event.by or ABSENT,
        }
        for event in events
    ]
    return pd.DataFrame(rows)


def _version(number: int | None) -> str:
    return "none" if number is None else f"v{number}"
