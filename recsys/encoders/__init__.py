"""The encoders by name. To register one here is to have it tested by tests/contracts/test_encoders.py."""

ENCODERS = {
    "tfidf": "recsys.encoders.tfidf:TfIdf",
    "sentence": "recsys.encoders.sentence:Sentence",
    "attributes": "recsys.encoders.attributes:Attributes",
    "vectors": "recsys.encoders.vectors:Vectors",
}
