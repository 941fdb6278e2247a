import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.fitting import Fits, indexed, note_of
from experiments.home import Home
from recsys.data.queries import Queries
from recsys.models.base import Recommender, create
from tests.worlds import checkerboard, random_market

PARAMS = {"factors": 4, "patience": 0, "epochs": 4}


class PulledPlugError(Exception):
    pass


def test_a_fit_that_was_broken_off_goes_on_and_a_finished_bake_off_leaves_nothing(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    data, _ = checkerboard()

    def pull_the_plug(note: str) -> None:
        if note == "graph, epoch 2":
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        Fits(home, "tiny").fit("graph", "lightgcn", PARAMS, data, pull_the_plug)

    def answer(model: Recommender) -> NDArray[np.float32]:
        return model.score(Queries.of(data.interactions, np.arange(20)))

    notes: list[str] = []
    fits = Fits(home, "tiny")
    model = fits.fit("graph", "lightgcn", PARAMS, data, notes.append)
    assert notes == ["graph", "graph, epoch 3", "graph, epoch 4"]
    whole = Fits(home, "another").fit("graph", "lightgcn", PARAMS, data, lambda _: None)
    np.testing.assert_array_equal(answer(model), answer(whole))
    assert fits.folder.exists()
    fits.done()
    assert not fits.folder.exists()


def test_other_data_or_parameters_have_a_checkpoint_of_their_own(tmp_path: Path) -> None:
    fits = Fits(Home.at(tmp_path), "tiny")
    data, _ = checkerboard()
    for params in (PARAMS, PARAMS | {"seed": 5}):
        notes: list[str] = []
        fits.fit("graph", "lightgcn", params, data, notes.append)
        assert notes[-1] == "graph, epoch 4"
    assert len(list(fits.folder.iterdir())) == 2


def test_models_without_epochs_leave_no_checkpoint(tmp_path: Path) -> None:
    fits = Fits(Home.at(tmp_path), "tiny")
    notes: list[str] = []
    fits.fit("neighbours", "item_knn", {}, checkerboard()[0], notes.append)
    assert notes == ["neighbours"]
    assert not fits.folder.exists()


def test_the_index_of_a_source_is_noted_with_its_recall(
    rng: np.random.Generator, installed: Callable[[str], None]
) -> None:
    installed("faiss")
    data = dataclasses.replace(random_market(rng, 30, 300, 600), item_features={"image": rng.normal(size=(300, 8))})
    content = {
        "model": "content",
        "m": 20,
        "params": {
            "encoders": [{"encoder": "vectors", "params": {"columns": ["image"]}}],
            "index": "hnsw",
            "index_params": {"width": 1, "neighbours": 2, "build_width": 2},
            "least_recall": 1.0,
        },
    }
    made = create("pipeline", candidates=[content, {"model": "popularity", "m": 20}], ranker=None).fit(data)
    (found,) = indexed(made).values()
    assert note_of(made).startswith(f"index hnsw of content finds {found.recall:.1%}")
    assert "below least_recall 100%: raise `width`" in note_of(made)
    assert indexed(create("fusion", parts=[{"model": "popularity"}, {"model": "item_knn"}]).fit(data)) == {}
