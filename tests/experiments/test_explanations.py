"""Why an item stands in a slate: the reasons of a registered version, as the command tells them."""

import json
import re

import numpy as np
import pytest

from experiments import cli
from experiments.config import BakeoffConfig
from experiments.explanations import explained_slates
from experiments.home import Home
from experiments.loop import Outcome
from experiments.package import Package
from experiments.reasons import as_dataset
from experiments.registry import Registry
from recsys.data.queries import Queries


@pytest.fixture(scope="module")
def package(line: tuple[Home, Outcome], config: BakeoffConfig) -> Package:
    registry = Registry(line[0])
    champion = registry.slots(config.name).champion
    assert champion is not None
    return registry.load(config.name, champion)


def test_the_item_that_is_named_drives_the_score(package: Package) -> None:
    named = 0
    for slate in explained_slates(package, package.users.ids[:12].tolist(), k=5):
        query = Queries.of(package.histories, package.users.numbers([slate.user]))
        for line in slate.lines:
            if line.reason.kind != "history":
                continue
            named += 1
            assert line.reason.because in query.items
            assert line.reason.score_without < line.reason.score or np.isnan(line.reason.score_without)
            assert line.reason.words.endswith(str(package.titles[line.reason.because]))
    assert named > 0


def test_somebody_unknown_is_told_what_the_log_shows(package: Package) -> None:
    (slate,) = explained_slates(package, ["nobody"], k=5)
    assert (slate.known, slate.last) == (False, ())
    assert len(slate.lines) == 5
    assert {line.reason.kind for line in slate.lines} <= {"new", "trending", "popular", "none"}


def test_a_package_is_a_data_set_with_titles(package: Package) -> None:
    data = as_dataset(package)
    assert len(data.interactions) == len(package.histories)
    assert data.item_features["title"].tolist() == package.titles.tolist()


def test_the_command_tells_it_in_a_table_and_in_json(
    line: tuple[Home, Outcome], config: BakeoffConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    user, home = "nobody", str(line[0].root)

    def said(*arguments: str) -> str:
        cli.app(["explain", config.name, "--user", user, "--k", "3", "--home", home, *arguments], standalone_mode=False)
        return capsys.readouterr().out

    assert re.search(r"nobody \(unknown: sees what everybody sees\)", said())
    (slate,) = json.loads(said("--json"))
    assert [entry["rank"] for entry in slate["lines"]] == [1, 2, 3]
    assert {"item", "title", "kind", "words", "score", "score_without", "named_by", "added"} <= set(slate["lines"][0])


def test_a_model_without_champion_says_so(home: Home) -> None:
    with pytest.raises(LookupError, match="registered model"):
        cli.app(["explain", "nothing", "--user", "u", "--home", str(home.root)], standalone_mode=False)
