"""Where a peer computes the same thing, we agree to 1e-8."""

from tests.abtest.statistics.agreement import agreements


def test_we_agree_with_every_peer() -> None:
    rows = list(agreements())
    assert len(rows) > 50
    assert [row for row in rows if not row.difference < 1e-8] == []
