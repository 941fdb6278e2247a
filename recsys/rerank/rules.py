"""Business rules: what may be shown, what is pushed, and who is owed a place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from numpy.typing import NDArray

from bakeoff.catalogue import check_name
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.models.base import check_choice
from recsys.rerank.base import Measures, Reranker, State
from recsys.rerank.blended import Scale, best_places, relevance
from recsys.rerank.conditions import as_numbers
from recsys.rerank.quotas import fill
from recsys.rerank.rule_kinds import ANY, AgeLimit, Boost, Drop, Floor, Keep, Promote, Rule, parse


@dataclass
class Rules(Reranker):
    """What is forbidden goes, boosts are added to relevance, caps and floors are kept; see `recsys.rerank.rule_kinds`.

    rules: a list of mappings, each `rule` (keep, drop, age_limit, boost, promote, floor), `column` and the keys of its
    kind; or file: a YAML file that holds such a list, read when the reranker is made, so that a saved one carries its
    rules with it. page: promote and floor hold for each so many places (None: for the whole list); where lists are
    longer than what is shown, as in a pipeline's pool, give what is shown. Rules hold for items of the fallback too.
    The columns are read at fit: what changes by the minute, as stock does, is as old as the fit.
    """

    name: ClassVar[str] = "rules"
    source: ClassVar[str] = "a shop's own rules"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"effects": ("n_items", "n_rules"), "ages": ("n_users",)}

    rules: list[dict[str, Any]] | None = None
    file: str | None = None
    page: int | None = None
    relevance: Scale = "score"

    _rules: list[Rule] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choice("relevance of reranker 'rules'", self.relevance, Scale)
        if self.page is not None:
            check_whole("page of reranker 'rules'", self.page, 1)
        if (self.rules is None) == (self.file is None):
            raise ValueError("reranker 'rules' needs either `rules`, a list, or `file`, a YAML file that holds one")
        if self.file is not None:
            self.rules, self.file = read(Path(self.file)), None
        if not isinstance(self.rules, list) or not self.rules:
            raise ValueError(f"rules must be a list of one or more rules, got {self.rules!r}")
        self._rules = [parse(rule, number) for number, rule in enumerate(self.rules, start=1)]
        if len([rule for rule in self._rules if isinstance(rule, AgeLimit)]) > 1:
            raise ValueError("there can be one age_limit among the rules, got several; put the limits in one column")

    def _fit(self, dataset: Dataset) -> State:
        ages = np.full(len(dataset.users), np.nan)
        for rule in self._rules:
            if isinstance(rule, AgeLimit) and rule.user_column is not None:
                check_name(dataset.user_features, rule.user_column, "user feature")
                ages = as_numbers(dataset.user_features, rule.user_column, "user feature")
        return {"effects": np.column_stack([rule.effect(dataset) for rule in self._rules]), "ages": ages}

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        effects = self.state()["effects"][recommendations.items]
        value = relevance(recommendations, self.relevance)
        for i, rule in enumerate(self._rules):
            if isinstance(rule, Boost):
                value += rule.strength * effects[:, :, i]
            elif isinstance(rule, Promote):
                value += rule.lift * effects[:, :, i]
            elif isinstance(rule, Keep | Drop | AgeLimit):
                value[~self._allowed(rule, effects[:, :, i], recommendations.queries)] = np.nan
        quotas = [i for i, rule in enumerate(self._rules) if isinstance(rule, Promote | Floor)]
        if not quotas:
            return best_places(value, k)
        order = best_places(value, recommendations.k)
        member = np.take_along_axis(effects[:, :, quotas] > 0, order.clip(min=0)[:, :, None], axis=1)
        least = [rule.at_least if isinstance(rule, Floor) else 0 for rule in map(self._rules.__getitem__, quotas)]
        most = [rule.at_most if isinstance(rule, Promote) else ANY for rule in map(self._rules.__getitem__, quotas)]
        return fill(order, member, least, most, k, self.page)

    def measures(self, recommendations: Recommendations) -> Measures:
        """For each rule one number per list, NaN for an empty one.

        keep, drop, age_limit: the share of items that it allows; boost: the mean of the scaled column; promote, floor:
        how many items it is about.
        """
        effects = self.state()["effects"][recommendations.items]
        listed = recommendations.items >= 0
        size = listed.sum(axis=1)
        measures: Measures = {}
        for i, rule in enumerate(self._rules):
            told = effects[:, :, i]
            if isinstance(rule, Keep | Drop | AgeLimit):
                told = self._allowed(rule, told, recommendations.queries)
            total = np.where(listed, told, 0.0).sum(axis=1)
            per_item = 1 if isinstance(rule, Promote | Floor) else size.clip(min=1)
            title = rule.title if rule.title not in measures else f"{rule.title} ({i + 1})"
            measures[title] = np.where(size > 0, total / per_item, np.nan)
        return measures

    def _allowed(self, rule: Rule, effect: NDArray[np.float64], queries: Queries) -> NDArray[np.bool_]:
        return effect <= self._ages(rule, queries)[:, None] if isinstance(rule, AgeLimit) else effect > 0

    def _ages(self, rule: AgeLimit, queries: Queries) -> NDArray[np.float64]:
        """(n,) in years, 0 where unknown."""
        ages = np.append(self.state()["ages"], np.nan)
        known = (queries.users >= 0) & (queries.users < len(ages) - 1)
        found: NDArray[np.float64] = ages[np.where(known, queries.users, -1)]
        if rule.context in queries.context:
            told = as_numbers(queries.context, rule.context, "context")
            found = np.where(np.isnan(told), found, told)
        return np.asarray(np.nan_to_num(found))


def read(path: Path) -> list[dict[str, Any]]:
    """The list of rules in a YAML file."""
    try:
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"there is no file of rules {str(path)!r}; paths are relative to where the command runs"
        ) from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if not isinstance(rules, list):
        raise ValueError(f"{path} must hold a list of rules, got {type(rules).__name__}")
    return rules
