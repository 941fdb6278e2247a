import pytest

from recsys.data.parameters import check_keys, check_parameters


def cut(dataset: object, *, share: float, seed: int = 0) -> None: ...


def test_the_leading_arguments_are_not_parameters() -> None:
    check_parameters(cut, {"share": 0.1}, "split 'cut'", given=1)
    with pytest.raises(ValueError, match="split 'cut' has no parameter 'dataset'; it has: share, seed"):
        check_parameters(cut, {"dataset": 1, "share": 0.1}, "split 'cut'", given=1)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="split 'cut' needs the parameter 'share'; got seed"):
        check_parameters(cut, {"seed": 1}, "split 'cut'", given=1)


def test_the_nearest_key_is_proposed() -> None:
    with pytest.raises(ValueError, match=r"`format` has no parameter 'delimeter'; did you mean 'delimiter'\?"):
        check_keys(["delimeter"], ["delimiter", "quote"], "`format`")
