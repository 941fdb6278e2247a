"""YAML files as checked trees: references followed, values overridden, errors that name file, line and place."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bakeoff.catalogue import check_name

B = TypeVar("B", bound=BaseModel)
REFERENCES = ("data", "params", "search", "metrics", "decision")
"""Keys that may hold the path of another YAML file, relative to the file that names it."""


class ConfigError(ValueError):
    """What is wrong in a configuration: file, line, place in the tree, got, expected."""


class Strict(BaseModel):
    """What every part of a configuration is: unknown keys are refused, nothing is changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse(kind: type[B], path: Path, overrides: Sequence[str] = ()) -> B:
    """Read and check one file as `kind`."""
    tree = _follow(read_tree(path), path)
    for override in overrides:
        _override(tree, override, path)
    tree = _substitute(tree, path)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(kind, path, problem) for problem in error.errors())) from None


def read_tree(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(tree).__name__}")
    return tree


def _override(tree: dict[str, Any], text: str, path: Path) -> None:
    place, equals, value = text.partition("=")
    if not equals or not place:
        raise ConfigError(f"--set {text!r}: expected key.path=value, such as tuning.trials=5")
    *parents, last = place.split(".")
    for key in parents:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {text!r}: {key!r} is no mapping in the file")
    try:
        tree[last] = _follow(yaml.safe_load(value), path, last)
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {text!r}: {value!r} is no valid YAML value; quote it, as in 'title=\"a: b\"'"
        ) from None


def _follow(node: Any, path: Path, key: str = "") -> Any:
    """The tree with the names of other files (where REFERENCES allows them) replaced by what is in them."""
    if isinstance(node, dict):
        return {name: _follow(value, path, str(name)) for name, value in node.items()}
    if isinstance(node, list):
        return [_follow(value, path) for value in node]
    if key in REFERENCES and isinstance(node, str) and node.endswith((".yaml", ".yml")):
        other = path.parent / node
        return _follow(read_tree(other), other)
    return node


def _substitute(node: Any, path: Path, place: tuple[str, ...] = ()) -> Any:
    """The tree with every `${NAME}` in a text replaced by the environment variable."""
    if isinstance(node, dict):
        return {key: _substitute(value, path, (*place, str(key))) for key, value in node.items()}
    if isinstance(node, list):
        return [_substitute(value, path, (*place, str(i))) for i, value in enumerate(node)]
    if isinstance(node, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: _variable(found[1], path, place), node)
    return node


def _variable(name: str, path: Path, place: tuple[str, ...]) -> str:
    value = os.environ.get(name)
    if value is None:
        where = ".".join(place)
        raise ConfigError(
            f"{path}: {where} needs the environment variable {name}, which is not set; "
            f"export {name}=..., or give --set {where}=..."
        )
    return value


def _sentence(kind: type[BaseModel], path: Path, problem: Any) -> str:
    loc = problem["loc"]
    place = ".".join(map(str, loc)) or "the whole file"
    line = _line(path, loc)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = _nearest(kind, loc)
    got = "" if problem["type"] in ("missing", "extra_forbidden", "value_error") else f", got {problem['input']!r}"
    return f"{path}{f':{line}' if line else ''}: {place}: {message}{got}"


def _nearest(kind: Any, place: tuple[str | int, ...]) -> str:
    """What to say of an unknown key: the nearest one that could stand in its place, and all of them."""
    *parents, last = place
    for key in parents:
        # the tree is made of models and of mappings from a name to a model
        kind = kind.model_fields[key].annotation if hasattr(kind, "model_fields") else get_args(kind)[1]
        if get_origin(kind) is UnionType:
            kind = get_args(kind)[0]
    try:
        return check_name(kind.model_fields, str(last), "key")
    except LookupError as error:
        return str(error)


def _line(path: Path, place: tuple[str | int, ...]) -> int | None:
    """The line of the deepest key of `place` that is in the file itself (it may come from a referenced file)."""
    node, line = yaml.compose(path.read_text(encoding="utf-8")), None
    for key in place:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((k, v) for k, v in node.value if k.value == str(key)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
