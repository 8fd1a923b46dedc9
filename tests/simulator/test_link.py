import numpy as np
import pytest

from simulator.link import GilbertElliott, Link, Outages
from simulator.seeding import stream

HOUR_MS = 3_600_000.0


def test_loss_comes_in_bursts_of_the_stated_share() -> None:
    link = Link(GilbertElliott(30.0, 10.0, 0.8), None, stream(1, "link"))
    lost = np.array([link.loses(at / 10) for at in range(200_000)])
    assert lost.mean() == pytest.approx(0.25 * 0.8, abs=0.03)
    after_a_loss = lost[1:][lost[:-1]].mean()
    assert after_a_loss > 3 * lost.mean()


def test_outages_come_and_last_as_stated() -> None:
    link = Link(None, Outages(mean_between_h=24.0, median_h=3.0, spread=0.5), stream(1, "link"))
    lengths, world_ms = [], 0.0
    for _ in range(400):
        begins_ms, ends_ms = link.changes_ms()
        assert link.is_up((world_ms + begins_ms) / 2)
        assert not link.is_up((begins_ms + ends_ms) / 2)
        lengths.append((ends_ms - begins_ms) / HOUR_MS)
        world_ms = ends_ms
        assert link.is_up(ends_ms)
    assert np.median(lengths) == pytest.approx(3.0, rel=0.15)
    assert world_ms / HOUR_MS / 400 == pytest.approx(24.0 + 3.4, rel=0.15)


def test_a_mended_link_loses_nothing() -> None:
    link = Link(GilbertElliott(0.001, 1000.0, 1.0), Outages(0.001, 1000.0, 0.1), stream(1, "x"))
    assert any(link.loses(at / 10) for at in range(10))
    assert not link.is_up(HOUR_MS)
    link.mend()
    assert not link.loses(11.0)
    assert link.is_up(HOUR_MS)
