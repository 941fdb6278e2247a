from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config import CHAMPION
from experiments.home import Home
from experiments.journal import Change, Event, Journal, previous_champion

AT = datetime(2025, 3, 4, 5, 6, 7, 890, tzinfo=UTC)


def move(version: int | None, change: Change = "promote", before: int | None = None) -> Event:
    return Event(at=AT, model="m", change=change, alias=CHAMPION, version=version, before=before)


def rolled_back(moves: list[Event]) -> list[Event]:
    """The journal after a rollback."""
    champion = moves[-1].version
    return [*moves, move(previous_champion(moves, champion), "rollback", champion)]


# --- the pure part: what a journal says ---


def test_the_first_champion_has_none_before_it() -> None:
    assert previous_champion([move(1, "register")], 1) is None
    assert previous_champion([], 1) is None
    assert previous_champion([], None) is None


def test_the_one_before_is_the_one_that_was_replaced() -> None:
    assert previous_champion([move(1, "register"), move(4)], 4) == 1


def test_rolling_back_twice_goes_two_steps_back() -> None:
    moves = [move(1, "register"), move(2), move(3)]
    once = rolled_back(moves)
    assert once[-1].version == 2
    twice = rolled_back(once)
    assert twice[-1].version == 1
    assert previous_champion(twice, 1) is None


def test_a_promotion_after_a_rollback_stands_on_what_was_rolled_back_to() -> None:
    moves = [*rolled_back([move(1, "register"), move(2)]), move(5)]
    assert previous_champion(moves, 5) == 1


def test_winning_again_is_a_step_of_its_own() -> None:
    moves = [move(1, "register"), move(2), move(1)]
    assert previous_champion(moves, 1) == 2


def test_moves_by_hand_count_as_moves() -> None:
    moves = [move(1, "register"), move(3, "by hand")]
    assert previous_champion(moves, 3) == 1


def test_putting_the_one_before_back_by_hand_is_a_rollback() -> None:
    moves = [move(1, "register"), move(2), move(3), move(2, "by hand")]
    assert previous_champion(moves, 2) == 1


def test_a_champion_that_the_journal_does_not_know_has_none_before_it() -> None:
    assert previous_champion([move(1, "register"), move(2)], 9) is None


def test_taking_the_alias_away_by_hand_and_giving_it_back_changes_nothing() -> None:
    moves = [move(1, "register"), move(2), move(None, "by hand"), move(2, "by hand")]
    assert previous_champion(moves, 2) == 1


histories = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(histories, st.integers(6, 9))
def test_promote_then_roll_back_is_as_if_nothing_had_been(versions: list[int], winner: int) -> None:
    moves = [move(version) for version in versions]
    after = rolled_back([*moves, move(winner)])
    assert after[-1].version == versions[-1]
    assert previous_champion(after, versions[-1]) == previous_champion(moves, versions[-1])


@given(histories)
def test_rolling_back_as_often_as_possible_ends_at_the_first_champion(versions: list[int]) -> None:
    moves = [move(version) for version in versions]
    seen = [versions[-1]]
    while previous_champion(moves, moves[-1].version) is not None:
        moves = rolled_back(moves)
        assert moves[-1].version is not None
        seen.append(moves[-1].version)
    changes = [v for n, v in enumerate(versions) if n == 0 or versions[n - 1] != v]
    assert seen == changes[::-1]


# --- the journal on disk ---


def test_the_journal_is_read_in_the_order_it_was_written(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    journal = Journal(home)
    assert journal.events() == []
    events = [move(1, "register"), replace(move(2), reasons=("ä\nb",), by="x"), replace(move(1), model="other")]
    for event in events:
        journal.append(event)
    assert Journal(home).events() == events
    assert Journal(home).events("m") == events[:2]
    assert len(home.promotions.read_text().splitlines()) == 3  # a line break in a reason does not break the line


def test_a_damaged_line_of_the_journal_is_named(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    journal = Journal(home)
    journal.append(move(1))
    with home.promotions.open("a") as file:
        file.write('{"at": "2025\n')
    with pytest.raises(ValueError, match=r"promotions\.jsonl:2 is damaged"):
        journal.events()
