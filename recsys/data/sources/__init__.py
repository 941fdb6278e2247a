"""The sources of data by name: each a function of its own options that gives a Loaded data set."""

SOURCES = {
    "table": "recsys.data.sources.table:load",
    "movielens": "recsys.data.sources.movielens:load",
    "lightgcn": "recsys.data.sources.lightgcn:load",
    "market": "recsys.data.sources.market:load",
}
