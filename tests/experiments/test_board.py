from dataclasses import replace

import pytest

from experiments.board import Leaderboard
from experiments.home import Home
from experiments.loop import Outcome


@pytest.fixture
def board(line: tuple[Home, Outcome]) -> Leaderboard:
    return line[1].board


def test_a_place_or_a_name_leads_to_a_variant(board: Leaderboard) -> None:
    first, second, _ = (row.variant for row in board.standings)
    assert board.resolve("best") == first == board.best.variant
    assert board.resolve("runner_up") == second
    assert board.resolve("popularity") == "popularity"


def test_where_there_is_only_one_it_is_runner_up_to_itself(board: Leaderboard) -> None:
    alone = replace(board, standings=board.standings[:1])
    assert alone.resolve("runner_up") == alone.resolve("best")


def test_an_unknown_variant_is_answered_with_those_there_are(board: Leaderboard) -> None:
    with pytest.raises(LookupError, match=r"no variant 'als' on the leaderboard of 'tiny'; it has: "):
        board.resolve("als")
