"""The statistics of experiments over sufficient statistics (Moments). numpy, scipy and statsmodels only."""

METHODS = {
    "mean": "abtest.statistics.welch:effect",
    "proportion": "abtest.statistics.proportion:effect",
    "ratio": "abtest.statistics.delta:effect",
    "cuped": "abtest.statistics.cuped:effect",
    "poststratified": "abtest.statistics.poststratification:effect",
}
