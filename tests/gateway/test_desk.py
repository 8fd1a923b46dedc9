"""What each key does, and what is said and recorded when the link breaks."""

import sqlite3

import pytest

from cymba.stimulation.wire.messages import EndFrame, SamplesFrame, StartFrame
from gateway.limits import Allowed, NotAllowed
from gateway.radio.drivers import EmsBoardDriver
from tests.gateway.conftest import PretendBand, Scene, SetBoot


async def started(scene: Scene) -> None:
    await scene.until_said("Linked")
    await scene.press("s")
    await scene.until_said("Started at level 1")


def test_a_session_is_recorded_by_level_and_by_nothing_else(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(3)
        await scene.press("++")
        await scene.pass_time(3)
        await scene.press("-")
        await scene.pass_time(2)
        await scene.press(" ")

    scene = play(acts)
    changes = [one for at, one in enumerate(scene.commands) if one not in scene.commands[:at]]
    assert changes == [b"D\n", b"1\n", b"2\n", b"3\n", b"0\n"]
    assert scene.commands[-1] == b"0\n"
    start, *samples, end = scene.frames
    assert isinstance(start, StartFrame)
    assert isinstance(end, EndFrame)
    given = {name for name in start.programme.__struct_fields__
             if getattr(start.programme, name) is not None}  # fmt: skip
    assert given == {"site", "side", "native_level", "duration_s"}
    assert scene.reasons == ["user_stop"]
    assert scene.levels[:4] == [1, 1, 1, 1]
    assert scene.levels[5:9] == [3, 3, 3, 3]
    for frame in samples:
        assert isinstance(frame, SamplesFrame)
        assert set(frame.c) <= {"native_level", "battery_mv"}
    assert (end.first_seq, end.last_seq) == (start.seq, end.seq)
    assert [frame.seq for frame in scene.frames] == list(range(1, len(scene.frames) + 1))


def test_the_level_is_kept_alive_and_the_time_ends_it(play) -> None:
    async def acts(scene: Scene) -> None:
        scene.allowed = Allowed(highest_level=9, longest_s=30)
        await started(scene)
        await scene.pass_time(30)
        await scene.until_said("The time is over")

    scene = play(acts)
    assert 8 <= scene.commands.count(b"1\n") <= 11  # about every 3 s
    assert scene.commands[-1] == b"0\n"
    assert scene.reasons == ["completed"]
    assert scene.band.level == 0


def test_no_repeated_level_follows_a_stop(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(3)
        for key in "+ +++":  # pressed in one go: what comes after the stop raises nothing
            scene.desk.press(key)
        await scene.until_said("No level can be set")
        await scene.pass_time(10)

    scene = play(acts)
    assert scene.commands[-1] == b"0\n"
    assert scene.band.level == 0


def test_a_key_that_is_held_down_raises_one_level_a_second(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(1)
        for _ in range(30):
            scene.desk.press("+")
        await scene.until_said("Not raised: one level a second")
        await scene.tick()
        assert scene.band.level == 2
        for key in "-+":  # down at once, and up no sooner
            scene.desk.press(key)
        await scene.tick()
        assert scene.band.level == 1

    play(acts)


def test_a_record_that_cannot_be_written_ends_with_a_stop(play, band: PretendBand) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        scene.store._db.execute("DROP TABLE frame")  # as a disk that is full
        SetBoot.now_ms += 15_000
        await scene.until(lambda: band.level == 0)

    with pytest.raises(sqlite3.OperationalError):
        play(acts)
    assert band.level == 0


@pytest.mark.parametrize("key", [" ", "\r", "\n", "\x1b", "0", "x", "X"])
def test_every_stop_key_stops(play, key: str) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.press(key)

    assert play(acts).commands == [b"D\n", b"1\n", b"0\n"]


def test_what_is_not_allowed_is_not_started_and_says_why(play) -> None:
    async def acts(scene: Scene) -> None:
        await scene.until_said("Linked")
        scene.allowed = NotAllowed("a red flag stands")
        await scene.press("s")
        await scene.until_said("Not started: a red flag stands")

    scene = play(acts)
    assert scene.commands == []
    assert scene.frames == []


def test_limits_that_arrive_in_a_session_hold_what_is_raised_and_lower_nothing(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.press("++")
        scene.allowed = Allowed(highest_level=2, longest_s=240)
        await scene.press("+")
        await scene.until_said("Level 2 is the highest that your limits allow")
        assert scene.band.level == 3
        scene.allowed = NotAllowed("a red flag stands")
        await scene.press("+")
        await scene.until_said("Not raised")
        await scene.press("-")
        assert scene.band.level == 2

    assert play(acts).commands == [b"D\n", b"1\n", b"2\n", b"3\n", b"2\n", b"0\n"]


def test_a_lost_link_is_told_as_not_known_and_nothing_goes_on_by_itself(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.press("+")
        await scene.pass_time(5)
        scene.band.break_link()
        await scene.until_said("LINK LOST. The neck band may still be stimulating at level 2")
        assert scene.band.level == 2  # and it is
        await scene.pass_time(20)
        assert "NOT KNOWN, may be on" in scene.shown[-1]
        scene.band.is_within_reach = True
        await scene.until_said("The link is back, and the neck band was told to stop")
        assert scene.band.level == 0
        await scene.pass_time(20)
        assert scene.band.level == 0
        await scene.press("g")
        await scene.until_said("Gone on at level 1")
        await scene.pass_time(5)
        await scene.press(" ")

    scene = play(acts)
    assert scene.events == ["link_lost", "link_back", "pause", "resume"]
    assert scene.reasons == ["user_stop"]
    levels = scene.levels
    assert levels.count(None) >= 18  # nobody saw those seconds
    assert set(levels[levels.index(None) :]) == {None, 0, 1}
    begins = scene.commands.index(b"0\n")
    assert scene.commands[begins : begins + 3] == [b"0\n", b"D\n", b"1\n"]


def test_a_stop_without_a_link_says_so_and_is_sent_when_the_link_is_back(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        scene.band.break_link()
        await scene.press(" ")
        await scene.until_said("THE STOP DID NOT GET THROUGH")
        assert scene.band.level == 1
        scene.band.is_within_reach = True
        await scene.until_said("may have been on; it was told to stop")
        assert scene.band.level == 0

    scene = play(acts)
    assert scene.events == ["link_lost", "stop_not_through"]
    assert scene.reasons == ["user_stop"]


def test_a_session_whose_link_stays_lost_ends_as_nobody_saw_it(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        scene.band.break_link()
        await scene.until_said("LINK LOST")
        await scene.pass_time(301)
        await scene.until_said("No link for 5 min")
        await scene.press("s")
        await scene.until_said("Not started: there is no link")

    scene = play(acts)
    assert scene.reasons == ["unknown_inferred"]
    assert not any(scene.levels[5:])


def test_a_link_that_is_back_after_the_time_is_over_completes_the_session(play) -> None:
    async def acts(scene: Scene) -> None:
        scene.allowed = Allowed(highest_level=9, longest_s=10)
        await started(scene)
        await scene.pass_time(9)
        scene.band.break_link()
        SetBoot.now_ms += 1500
        await scene.until_said("LINK LOST")
        scene.band.is_within_reach = True
        await scene.until_said("The time is over")

    scene = play(acts)
    assert scene.reasons == ["completed"]
    assert scene.band.level == 0


def test_a_run_that_was_killed_leaves_a_record_that_breaks_off(play, band: PretendBand) -> None:
    class Killed(BaseException):
        pass

    async def killed(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(25)
        band.break_link()  # the radio dies with the program, and the band goes on
        raise Killed

    with pytest.raises(Killed):
        play(killed)
    assert band.level == 1

    async def again(scene: Scene) -> None:
        assert scene.left is not None
        await scene.tick()
        assert "may be on" in scene.shown[-1]
        band.is_within_reach = True
        await scene.until_said("may have been on; it was told to stop")

    SetBoot.now_ms += 3_600_000
    scene = play(again)
    assert band.level == 0
    assert scene.reasons == ["firmware_fault"]
    assert scene.events[-1] == "record_broken_off"
    *_, event, end = scene.frames
    assert end.boot == 1
    assert end.up == event.up <= 31_000  # where the record ends, not when it was ended
    assert 20 <= len(scene.levels) <= 26
    assert [frame.seq for frame in scene.frames] == list(range(1, end.seq + 1))
    assert sum(scene.store.spent_in_a_day(scene.boot.utc_ms())) == pytest.approx(20, abs=6)


def test_a_machine_that_slept_has_no_readings_of_that_time(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(4)
        SetBoot.now_ms += 600_000
        await scene.tick()
        await scene.press(" ")

    assert len(play(acts).levels) < 10


def test_seconds_that_the_program_did_not_see_have_no_level(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(4)
        SetBoot.now_ms += 7_000  # the machine was busy with something else
        await scene.tick()
        await scene.press(" ")

    levels = play(acts).levels
    assert levels[:5] == [1] * 5
    assert levels[5:11] == [None] * 6


def test_a_battery_is_told_in_volts_and_only_where_it_was_read(play) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(61)
        await scene.press(" ")

    read = [frame.c["battery_mv"] for frame in play(acts).frames if "battery_mv" in
            getattr(frame, "c", {})]  # fmt: skip
    assert {one for column in read for one in column} == {3950, None}


def test_a_quit_without_a_link_tells_that_the_band_may_be_on(play, band: PretendBand) -> None:
    async def acts(scene: Scene) -> None:
        await started(scene)
        band.break_link()

    scene = play(acts)
    assert scene.store.may_be_on
    assert any("THE STOP DID NOT GET THROUGH" in line for line in scene.said)


def test_a_board_is_kept_alive_each_second_and_stopped_on_both_channels(play, monkeypatch) -> None:
    monkeypatch.setattr("tests.gateway.conftest.NeckBandDriver", EmsBoardDriver)

    async def acts(scene: Scene) -> None:
        await started(scene)
        await scene.pass_time(5)
        scene.band.break_link()
        await scene.until_said("LINK LOST. The EMS board may still be stimulating at level 1")
        scene.band.is_within_reach = True
        await scene.until_said("The link is back, and the EMS board was told to stop")

    commands = play(acts).commands
    assert commands[:12] == [b"C0I1T2500G", b"C1I1T2500G"] * 6
    assert commands[-2:] == [b"C0I0T1G", b"C1I0T1G"]
