"""The rerankers by name. To register one here is to have it tested by tests/contracts/test_rerankers.py."""

RERANKERS = {
    "mmr": "recsys.rerank.mmr:MMR",
    "dpp": "recsys.rerank.dpp:DPP",
    "novelty": "recsys.rerank.novelty:Novelty",
    "calibration": "recsys.rerank.calibration:Calibration",
    "spacing": "recsys.rerank.spacing:Spacing",
    "rules": "recsys.rerank.rules:Rules",
    "exploration": "recsys.rerank.exploration:Exploration",
}
