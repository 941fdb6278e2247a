from collections.abc import Callable

import numpy as np

from recsys.data.dataset import Dataset
from recsys.data.problems import Problem
from recsys.data.validation import validate

Make = Callable[..., Dataset]


def test_thin_users_and_items_are_counted(make: Make) -> None:
    report = validate(make([(0, 0, 0), (0, 1, 9), (1, 1, 5)], n_users=4, n_items=3))
    found = {finding.code: (finding.count, finding.total) for finding in report.findings}
    assert found["users with no interaction"] == (2, 4)
    assert found["users with a single interaction"] == (1, 2)
    assert found["items with no interaction"] == (1, 3)
    assert found["items with a single interaction"] == (1, 2)


def test_a_log_without_times_carries_a_warning(make: Make) -> None:
    assert "no times" in {finding.code for finding in validate(make([(0, 0, 0), (1, 0, 0)])).findings}
    assert "no times" not in {finding.code for finding in validate(make([(0, 0, 0), (1, 0, 1)])).findings}


def test_newcomers_in_the_last_slice_raise_a_warning(make: Make) -> None:
    calm = make([(u, i, t) for t in range(20) for u, i in ((0, 0), (1, 1))])
    turned = make([(u + 2 * (t >= 15), i + 2 * (t >= 15), t) for t in range(20) for u, i in ((0, 0), (1, 1))])
    codes = [{finding.code for finding in validate(dataset).findings} for dataset in (calm, turned)]
    assert not codes[0] & {"new users", "new items"}
    assert {"new users", "new items"} <= codes[1]


def test_dropped_rows_are_in_the_lines(make: Make) -> None:
    bad = Problem(file="log.csv", kind="missing user", lines=np.array([3, 8]), values=("", ""))
    report = validate(make([(0, 0, 0), (0, 1, 9)]), rows_read=5, left_out=1, problems=[bad])
    assert (report.rows_read, report.rows_kept, report.left_out, report.dropped) == (5, 2, 1, 2)
    assert "log.csv:8: missing user: ''" in report.lines()
    assert ("dropped: missing user", "2 in log.csv") in report.rows()
