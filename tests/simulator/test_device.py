"""A device on a network that records its messages and answers as a test wants."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cymba.devices.messages import Desired, TimeReply
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.signing import sign
from cymba.stimulation.wire.messages import to_json
from simulator.device import PRESENT_BOOT
from simulator.faults import CLEAN, Behaviour
from simulator.link import GilbertElliott, Outages
from tests.simulator.network import BEGAN_AT, KEY, Join, Network


def test_it_says_that_it_is_there_first_and_leaves_a_matching_will(join: Join) -> None:
    network = join()
    network.live_until(1.5)
    first = network.said[0]
    assert (first.topic, first.qos, first.retain) == ("up/presence", 1, True)
    assert first.message["online"]
    (will,) = network.wills
    assert {**will, "online": True} == first.message
    network.device.leave()
    last = network.said[-1]
    assert (last.topic, last.message) == ("up/presence", {**will})
    assert network.ends == ["close"]


def test_live_frames_say_when_they_were_sent(join: Join) -> None:
    network = join()
    network.live_until(300.0)
    frames = network.on("frame")
    assert len(frames) > 20
    presence = network.on("presence")[0].message
    for said in frames:
        assert said.qos == 1
        assert not said.retain
        assert said.message["boot"] == presence["boot"]
        assert said.message["sent"] == pytest.approx(said.at_s * 1000, abs=50)
        assert said.message["sent"] >= said.message["up"]


def test_flash_is_freed_by_the_servers_word_alone(join: Join) -> None:
    network = join(answers=False)
    network.live_until(600.0)
    device = network.device
    assert len(device.flash) == len(device.made) > 40
    assert device.flash.outstanding == 20
    assert {said.message["seq"] for said in network.on("frame")} == set(range(1, 21))
    network.ack(device.life.store, set(range(1, 11)))
    assert device.flash.outstanding == 10
    network.answers = True
    network.live_until(1_800.0)
    assert len(device.flash) == 0


def test_without_an_answer_it_sends_again_after_thirty_seconds_and_doubles(join: Join) -> None:
    network = join(answers=False)
    network.live_until(400.0)
    times_s = [said.at_s for said in network.on("frame") if said.message["seq"] == 1]
    gaps_s = [later - earlier for earlier, later in pairwise(times_s)]
    assert len(gaps_s) >= 3
    for gap_s, base_s in zip(gaps_s, (30, 60, 120), strict=False):
        assert base_s <= gap_s <= base_s * 1.25 + 0.1


def test_a_past_is_a_backlog_of_earlier_boots_without_sent(join: Join) -> None:
    network = join(speed=3_600.0, past=timedelta(hours=6))
    network.live_until(5.9)
    frames, store = network.on("frame"), network.device.life.store
    assert len(frames) > 200
    began_ms = BEGAN_AT.timestamp() * 1000
    for said in frames:
        assert "sent" not in said.message
        assert said.message["boot"] < PRESENT_BOOT
        assert said.message["utc"] < began_ms + 10_000  # but for the calendar's own error
    for said in network.on("presence"):
        assert (said.message["boot"], said.message["store"]) == (PRESENT_BOOT, store)
        assert said.message["queued"] >= 1
    exchange = network.on("time")[0].message
    assert exchange["boot"] == PRESENT_BOOT
    assert exchange["u1"] <= 2_000
    network.live_until(200.0)
    live = [said for said in network.on("frame") if said.message["boot"] == PRESENT_BOOT]
    assert live
    for said in live:
        assert said.message["sent"] == pytest.approx(said.at_s * 1000, abs=50)


def test_it_asks_for_the_time_and_says_when_the_answer_came(join: Join) -> None:
    network = join()
    network.live_until(3.0)
    (request,) = network.on("time")
    assert request.qos == 0
    boot, u1 = request.message["boot"], request.message["u1"]
    stale = TimeReply(boot=boot, u1=u1 + 1, t2=1, t3=2)
    network.device.on_message("time", to_json(stale), network.now_s)
    reply = TimeReply(boot=boot, u1=u1, t2=1_000, t3=1_001)
    network.device.on_message("time", to_json(reply), network.now_s)
    network.device.on_message("time", to_json(reply), network.now_s)
    _, confirmed = network.on("time")
    assert {k: confirmed.message[k] for k in ("boot", "u1", "t2", "t3")} == {
        "boot": boot, "u1": u1, "t2": 1_000, "t3": 1_001,
    }  # fmt: skip
    assert confirmed.message["u4"] == pytest.approx(3_000, abs=5)
    network.live_until(3_500.0)
    assert len(network.on("time")) == 2
    network.live_until(3_700.0)
    assert network.on("time")[2].message["u1"] == pytest.approx(3_603_000, abs=500)


def test_a_slow_answer_about_the_time_is_not_confirmed(join: Join) -> None:
    network = join()
    network.live_until(10.0)
    (request,) = network.on("time")
    reply = TimeReply(boot=request.message["boot"], u1=request.message["u1"], t2=1, t3=2)
    network.device.on_message("time", to_json(reply), network.now_s)
    assert len(network.on("time")) == 1
    network.live_until(40.0)
    assert len(network.on("time")) == 2


def test_a_reboot_comes_back_as_another_boot_on_another_connection(join: Join) -> None:
    network = join(profile=replace(CLEAN, reboot_per_session=1.0))
    network.live_until(4 * 3_600.0)
    boots = [said.message["boot"] for said in network.on("presence")]
    assert len(set(boots)) >= 2
    assert boots == sorted(boots)
    assert "drop" in network.ends
    for said in network.on("frame"):
        current = [p.message["boot"] for p in network.on("presence") if p.at_s <= said.at_s][-1]
        assert ("sent" in said.message) == (said.message["boot"] == current)
    assert len(network.device.flash) == 0


def test_it_waits_longer_each_time_for_a_broker_that_is_away(join: Join) -> None:
    network = join(reachable=False)
    network.live_until(1.0)
    tries_s = []
    attempt = network.connect

    def counted(will: bytes) -> Network | None:
        tries_s.append(network.now_s)
        return attempt(network.device, will)

    network.device._connect = counted
    network.live_until(2_000.0)
    gaps_s = [later - earlier for earlier, later in pairwise(tries_s)]
    assert max(gaps_s) <= 300.0
    assert gaps_s[-1] >= 150.0
    network.reachable = True
    network.live_until(2_400.0)
    assert network.device.is_online


def test_nothing_is_lost_over_a_link_that_loses_and_goes(join: Join) -> None:
    bad = replace(
        CLEAN,
        loss=GilbertElliott(60.0, 10.0, 0.9),
        outages=Outages(mean_between_h=0.3, median_h=0.1, spread=0.5),
        duplicate_per_publish=0.05,
        reorder_per_publish=0.2,
    )
    network = join(profile=bad)
    network.live_until(6 * 3_600.0)
    device, counters = network.device, network.device._counters
    assert network.ends.count("drop") >= 5
    assert counters.lost > 0
    assert counters.resent > 0
    assert counters.duplicated > 0
    seqs = [said.message["seq"] for said in network.on("frame")]
    assert seqs != sorted(seqs)
    device.end_life(network.now_s)
    network.live_until(network.now_s + 120.0)
    assert device.is_drained
    assert network.seen == {seq for _, seq in device.made}
    assert counters.acked == counters.made == len(device.made)


def test_a_programme_is_applied_and_reported(join: Join) -> None:
    network = join()
    network.live_until(2.0)
    wanted = Desired(ver=3, programme=usual_programme(MODELS["ear_cymba"]), limits={})
    signed = to_json(sign(KEY, "device-0001", wanted))
    network.device.on_message("desired", b"", network.now_s)
    network.device.on_message("desired", b"\xff nonsense", network.now_s)
    assert network.on("state") == []
    network.device.on_message("desired", signed, network.now_s)
    forged = sign(Ed25519PrivateKey.generate(), "device-0001", replace_ver(wanted, 4))
    network.device.on_message("desired", to_json(forged), network.now_s)
    applied, refused = network.on("state")
    assert applied.qos == 1
    assert {**applied.message} == {"ver": 3, "applied": True}
    assert {**refused.message} == {"ver": 4, "applied": False, "code": "bad-signature"}


def replace_ver(desired: Desired, ver: int) -> Desired:
    return Desired(ver=ver, programme=desired.programme, limits=desired.limits)


def test_a_device_that_frees_too_early_loses_what_was_not_stored(join: Join) -> None:
    network = join(answers=False, behaviour=Behaviour(frees_before_ack=True))
    network.live_until(600.0)
    assert len(network.device.made) > 40
    assert len(network.device.flash) == 0
    assert len(network.on("frame")) == len(network.device.made)
