"""The rerankers by name. To register one here is to have it tested by tests/contracts/test_rerankers.py."""

RERANKERS = {
    "novelty": "recsys.rerank.novelty:Novelty",
}
