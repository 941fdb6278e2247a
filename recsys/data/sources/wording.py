"""Names and descriptions for the goods of the synthetic market, so that people can read its lists."""

import numpy as np
from numpy.typing import NDArray

NOUNS = {
    "Lighting": "desk lamp, floor lamp, pendant light, wall light, reading light, lantern, string lights",
    "Kitchen": "frying pan, stock pot, chopping board, mixing bowl, kettle, knife set, baking tray",
    "Coffee and tea": "coffee grinder, pour-over set, teapot, espresso cup, travel mug, milk frother, tea tin",
    "Furniture": "armchair, bookshelf, side table, stool, bench, coat rack, writing desk",
    "Textiles": "throw blanket, cushion, bath towel, bed linen, rug, curtain, table runner",
    "Garden": "planter, watering can, pruning shears, bird feeder, garden hose, trowel, cold frame",
    "Cycling": "bike light, saddle, pannier, helmet, floor pump, handlebar tape, bottle cage",
    "Running": "running vest, head torch, soft flask, running belt, compression socks, windbreaker, cap",
    "Camping": "tent, sleeping bag, camp stove, folding chair, hammock, cool box, water filter",
    "Photography": "tripod, camera strap, lens pouch, light meter, photo album, film scanner, camera bag",
    "Audio": "headphones, bookshelf speaker, turntable, radio, microphone, sound bar, earbuds",
    "Board games": "strategy game, card game, puzzle, dice set, chess set, party game, story game",
    "Stationery": "notebook, fountain pen, planner, pencil case, sketchbook, letter set, desk tidy",
    "Bags": "backpack, tote, weekender, laptop sleeve, belt bag, messenger bag, wash bag",
    "Footwear": "ankle boots, trainers, sandals, loafers, slippers, walking boots, wellingtons",
    "Outerwear": "rain jacket, wool coat, gilet, parka, scarf, beanie, gloves",
    "Jewellery": "ring, necklace, bracelet, pair of earrings, brooch, watch, pendant",
    "Skincare": "face cream, cleanser, hand balm, sunscreen, bath salts, lip care, face mask",
    "Pets": "dog lead, cat tree, pet bed, feeding bowl, scratching post, travel crate, chew toy",
    "Tools": "screwdriver set, hand saw, tool box, cordless drill, spirit level, tape measure, clamp",
}
CATEGORIES = tuple(NOUNS)
FINISHES = (
    *("Walnut", "Oak", "Slate", "Copper", "Ivory", "Indigo", "Olive", "Amber", "Graphite", "Birch", "Coral", "Pearl"),
    *("Cedar", "Moss", "Rust", "Silver", "Sand", "Midnight", "Clay", "Linen", "Teal", "Plum", "Ash", "Saffron"),
)
STYLES = (
    *("minimal", "ornate", "rugged", "delicate", "vintage", "modern", "colourful", "muted"),
    *("compact", "generous", "handmade", "engineered", "playful", "formal", "natural", "industrial"),
    *("lightweight", "solid", "classic", "experimental", "cosy", "sporty", "quiet", "bold"),
    *("repairable", "disposable", "luxurious", "thrifty", "smart", "analogue", "coastal", "alpine"),
)
"""Two words for each of 16 dimensions of taste: its positive and its negative end."""
SERIES = ("", "II", "III", "IV", "V")


def titles(category: NDArray[np.integer], rng: np.random.Generator) -> list[str]:
    """A title for each item, such as "Walnut desk lamp"; in a category none comes twice."""
    named = [""] * len(category)
    for place, nouns in enumerate(NOUNS.values()):
        goods = [f"{finish} {noun}" for noun in nouns.split(", ") for finish in FINISHES]
        order = rng.permutation(len(goods))
        for count, item in enumerate(np.flatnonzero(category == place).tolist()):
            series, good = divmod(count, len(goods))
            named[item] = f"{goods[order[good]]} {_roman(series)}".rstrip()
    return named


def descriptions(named: list[str], category: NDArray[np.integer], taste: NDArray[np.floating]) -> list[str]:
    """A sentence for each item whose adjectives are its three strongest dimensions of taste: text tells of taste."""
    strongest = np.argsort(-np.abs(taste), axis=1, kind="stable")[:, :3]
    negative = np.take_along_axis(taste, strongest, axis=1) < 0
    words = (2 * strongest + negative) % len(STYLES)
    return [
        f"{title}: a {STYLES[a]}, {STYLES[b]} and {STYLES[c]} choice for {CATEGORIES[place].lower()}."
        for title, place, (a, b, c) in zip(named, category.tolist(), words.tolist(), strict=True)
    ]


def _roman(series: int) -> str:
    return SERIES[series] if series < len(SERIES) else f"No. {series + 1}"
