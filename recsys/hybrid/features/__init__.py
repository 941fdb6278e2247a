"""The groups of features by name; each is fitted on the past, named and described, and can be switched off."""

GROUPS = {
    "origins": "recsys.hybrid.features.origins:Origins",
    "user": "recsys.hybrid.features.user:Activity",
    "popularity": "recsys.hybrid.features.popularity:Popularity",
    "season": "recsys.hybrid.features.season:Season",
    "taste": "recsys.hybrid.features.taste:Taste",
    "numbers": "recsys.hybrid.features.numbers:Numbers",
    "graph": "recsys.hybrid.features.graph:Graph",
    "content": "recsys.hybrid.features.similarity:Content",
    "latent": "recsys.hybrid.features.similarity:Latent",
    "context": "recsys.hybrid.features.context:Context",
}
