"""An experiment's life from the terminal: proposed as a file, started, ramped, stopped, archived, all of it audited."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from abtest.service.lifecycle import NotAllowedError
from abtest.types import Holdout
from experiments.commands import life
from experiments.home import Home
from experiments.lifecycle import ramp, stop
from experiments.proposals import book_for, book_of, pairs, read_draft
from experiments.store import ExperimentStore

EXAMPLE = Path(__file__).parents[2] / "configs" / "experiments" / "example.yaml"


def test_the_example_is_created_started_ramped_stopped_and_archived(
    copied: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    life.create("tiny", EXAMPLE, home=copied.root)
    definition = ExperimentStore(copied).definition("knn-vs-hybrid")
    assert (definition.experiment.status, definition.rule.min_days) == ("draft", 14)
    assert definition.experiment.variants[1].payload == {"model": "tiny", "version": 2}
    assert len(definition.metrics) > 1
    life.start("knn-vs-hybrid", why="reviewed", home=copied.root)
    for traffic, why in ((0.05, "a day without an alarm"), (0.5, "by hand")):
        ramp(copied, "knn-vs-hybrid", traffic, at=datetime.now(UTC), by="ada", why=why)
    stop(copied, "knn-vs-hybrid", at=datetime.now(UTC), by="ada", reason="prices were wrong")
    life.resume("knn-vs-hybrid", why="prices are right again", home=copied.root)
    life.reweigh("knn-vs-hybrid", ["knn=0.2", "hybrid=0.8"], why="it does no harm", home=copied.root)
    life.override("knn-vs-hybrid", why="a look", testers=["ada=hybrid"], home=copied.root)
    ramp(copied, "knn-vs-hybrid", 1.0, at=datetime.now(UTC), by="ada")
    stop(copied, "knn-vs-hybrid", at=datetime.now(UTC), by="ada", reason="seen enough")
    life.archive("knn-vs-hybrid", why="over", home=copied.root)
    capsys.readouterr()
    life.audit("knn-vs-hybrid", home=copied.root)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in said] == [
        "status none → draft, traffic none → 0.01. the hybrid leads the leaderboard",
        "status draft → running. reviewed",
        "traffic 0.01 → 0.05. a day without an alarm",
        "traffic 0.05 → 0.5. by hand",
        "status running → stopped. prices were wrong",
        "status stopped → running. prices are right again",
        "weights {'knn': 0.5, 'hybrid': 0.5} → {'knn': 0.2, 'hybrid': 0.8}. it does no harm",
        "overrides {} → {'ada': 'hybrid'}. a look",
        "traffic 0.5 → 1.0. by hand",
        "status running → stopped. seen enough",
        "status stopped → archived. over",
    ]
    with pytest.raises(NotAllowedError, match="is archived"):
        life.start("knn-vs-hybrid", why="again", home=copied.root)


def test_the_holdout_is_kept_told_and_audited(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    life.holdout(0.05, why="a year together", home=home.root)
    life.holdout(home=home.root)
    said = capsys.readouterr().out.splitlines()
    assert said.count("0.05 of the units take part in nothing.") == 2
    assert "`bakeoff analyse holdout` compares the held out" in " ".join(said)
    assert said[-1].endswith("holdout: share 0.0 → 0.05. a year together")
    kept = book_of(home, "tiny").snapshot.assigner.plan.holdout
    assert kept is not None
    assert (kept, kept.since is None) == (Holdout(share=0.05, since=kept.since), False)


@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a="], ["a=1", "a=2"]])
def test_pairs_that_are_none_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="expected NAME=VALUE, each name once"):
        pairs(texts)


def test_a_start_loads_the_models_first(copied: Home, tmp_path: Path) -> None:
    tree = yaml.safe_load(EXAMPLE.read_text()) | {"metrics": {"clicks": {"kind": "mean", "numerator": "click"}}}
    tree["variants"][1]["payload"] = {"version": 9}
    (tmp_path / "lost.yaml").write_text(yaml.safe_dump(tree))
    life.create("tiny", tmp_path / "lost.yaml", home=copied.root)
    with pytest.raises(ValueError, match="variant 'hybrid': version 9 cannot be loaded"):
        life.start("knn-vs-hybrid", why="x", home=copied.root)
    assert book_for(copied, "knn-vs-hybrid").draft("knn-vs-hybrid").experiment.status == "draft"
    with pytest.raises(ValueError, match="there is an experiment 'knn-vs-hybrid' already"):
        book_of(copied, "tiny").create(read_draft(EXAMPLE)[0], by="ada", why="x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trafic": 0.5}, r"bad\.yaml:\d+: trafic: unknown key 'trafic'; did you mean 'traffic'"),
        ({"decision": {"alhpa": 0.1}}, r"bad\.yaml: decision has no key 'alhpa'"),
        ({"variants": [{"name": "a", "weight": 1}]}, r"bad\.yaml:\d+: variants: "),
    ],
)
def test_a_wrong_file_is_told_by_its_place(tmp_path: Path, change: dict[str, object], words: str) -> None:
    tree = yaml.safe_load(EXAMPLE.read_text()) | {"metrics": {"clicks": {"kind": "mean", "numerator": "click"}}}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(tree | change))
    with pytest.raises(ValueError, match=words):
        read_draft(tmp_path / "bad.yaml")
