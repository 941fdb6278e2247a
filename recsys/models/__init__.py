"""The models by name. To register one here is to have it tested by tests/contracts/test_models.py."""

MODELS = {
    "popularity": "recsys.models.popularity:Popularity",
    "trending": "recsys.models.trending:Trending",
    "item_knn": "recsys.models.item_knn:ItemKNN",
    "user_knn": "recsys.models.user_knn:UserKNN",
    "item_rating_knn": "recsys.models.rating_knn:ItemRatingKNN",
    "user_rating_knn": "recsys.models.rating_knn:UserRatingKNN",
    "rp3beta": "recsys.models.rp3beta:RP3Beta",
    "transitions": "recsys.models.transitions:Transitions",
    "session_knn": "recsys.models.session_knn:SessionKNN",
    "cross_sell": "recsys.models.cross_sell:CrossSell",
    "ease": "recsys.models.ease:EASE",
    "slim": "recsys.models.slim:SLIM",
    "pure_svd": "recsys.models.pure_svd:PureSVD",
    "gfcf": "recsys.models.gfcf:GFCF",
    "bspm": "recsys.models.bspm:BSPM",
    "als": "recsys.models.als:ALS",
    "ials": "recsys.models.ials:IALS",
    "bpr": "recsys.models.bpr:BPR",
    "lightgcn": "recsys.models.lightgcn:LightGCN",
    "fusion": "recsys.hybrid.fusion:Fusion",
}
