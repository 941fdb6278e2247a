"""An experiment's life from the terminal: proposed as a file, started, ramped, stopped, archived, all of it audited."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from abtest.service.lifecycle import NotAllowedError
from experiments.commands import life
from experiments.home import Home
from experiments.lifecycle import ramp, stop
from experiments.proposals import book_for, book_of, read_draft
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
    for traffic in (0.05, 0.5, 1.0):
        ramp(copied, "knn-vs-hybrid", traffic, at=datetime.now(UTC), by="ada")
    stop(copied, "knn-vs-hybrid", at=datetime.now(UTC), by="ada", reason="seen enough")
    life.archive("knn-vs-hybrid", why="over", home=copied.root)
    capsys.readouterr()
    life.audit("knn-vs-hybrid", home=copied.root)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in said] == [
        "status none → draft, traffic none → 0.01. the hybrid leads the leaderboard",
        "status draft → running. reviewed",
        "traffic 0.01 → 0.05. by hand",
        "traffic 0.05 → 0.5. by hand",
        "traffic 0.5 → 1.0. by hand",
        "status running → stopped. seen enough",
        "status stopped → archived. over",
    ]
    with pytest.raises(NotAllowedError, match="is archived"):
        life.start("knn-vs-hybrid", why="again", home=copied.root)


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
