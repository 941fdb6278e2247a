"""What the page of slates reads: the newest slates, the registered models that were shown, and what the items are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import streamlit as st

from dashboards.queries import TTL, Loaded, loaded, reading
from experiments import slates
from experiments.home import Home
from experiments.package import Package
from experiments.slates import Catalogue, Example, Overlap, Profile
from experiments.store import Definition, ExperimentStore

if TYPE_CHECKING:
    from recsys.data.sources.loaded import Loaded as LoadedData

ASKED = 200
"""Users whose lists are compared between variants."""


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def newest(home: Home, experiment: str) -> Loaded[pa.Table]:
    """The newest slates of an experiment in the lake."""
    with reading(f"the exposures in {home.lake}"):
        return loaded(slates.newest(home.lake, experiment))


def packages(home: Home, definition: Definition) -> dict[str, Package]:
    """The registered model behind each variant, control first."""
    versions = {v.name: v.payload.get("version") for v in definition.experiment.variants}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        raise LookupError(f"the variants {', '.join(missing)} name no model version, so no model can be asked")
    return {name: package(home, definition.model, int(str(version))) for name, version in versions.items()}


# a version never changes, so it is kept as long as there is room
@st.cache_resource(max_entries=8, show_spinner="Loading the models …")
def package(home: Home, model: str, version: int) -> Package:
    """A registered model."""
    from experiments.registry import Registry

    with reading(f"v{version} of {model}"):
        return Registry(home).load(model, version)


@st.cache_resource(max_entries=4, show_spinner="Loading the items …")
def catalogue(home: Home, model: str, version: int) -> Catalogue:
    """What is known of the items that a version can recommend; without its data set, no categories."""
    return slates.catalogue_of(package(home, model, version), _data(home, model, version))


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def profiles(home: Home, experiment: str) -> Loaded[list[Profile]]:
    """What each variant showed."""
    definition = ExperimentStore(home).definition(experiment)
    shown = newest(home, experiment).value
    return loaded(slates.profiles(shown, _names(definition), _catalogue(home, definition)))


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def users(home: Home, experiment: str, most: int = 100) -> Loaded[list[str]]:
    """Users with one of the newest slates whom the control's model knows."""
    definition = ExperimentStore(home).definition(experiment)
    control = next(iter(packages(home, definition).values()))
    return loaded(slates.users_of(newest(home, experiment).value, control, most))


@st.cache_data(ttl=TTL, max_entries=64, show_spinner=False)
def example(home: Home, experiment: str, unit: str) -> Loaded[Example]:
    """One user's newest slate beside what the other variants give him."""
    definition = ExperimentStore(home).definition(experiment)
    shown = newest(home, experiment).value
    return loaded(slates.example(shown, unit, packages(home, definition), _catalogue(home, definition)))


@st.cache_data(max_entries=16, show_spinner="Asking both models …")
def overlaps(home: Home, experiment: str, asked: tuple[str, ...]) -> list[Overlap]:
    """How alike each variant's lists are to the control's, for the same users."""
    definition = ExperimentStore(home).definition(experiment)
    control, *others = _names(definition)
    loaded_models: Mapping[str, Package] = packages(home, definition)
    return [slates.overlap(control, other, loaded_models, asked) for other in others]


def _names(definition: Definition) -> list[str]:
    return [variant.name for variant in definition.experiment.variants]


def _catalogue(home: Home, definition: Definition) -> Catalogue:
    packages(home, definition)  # the sentence for a variant without a version comes from there
    return catalogue(home, definition.model, int(str(definition.experiment.variants[0].payload["version"])))


def _data(home: Home, model: str, version: int) -> "LoadedData | None":
    from experiments import promises

    try:
        return promises.data_of(home, model, version)
    except Exception:  # the data may have moved since: the page says that categories are missing, and goes on
        return None
