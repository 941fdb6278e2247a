"""The indexes by name. To register one here is to have it tested by tests/contracts/test_indexes.py."""

INDEXES = {
    "exact": "recsys.index.exact:Exact",
    "flat": "recsys.index.faiss:Flat",
    "hnsw": "recsys.index.faiss:HNSW",
    "ivfpq": "recsys.index.faiss:IVFPQ",
}
