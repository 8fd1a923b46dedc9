"""Judges the rules of topics, presence, reconnecting, `sent` and the clock exchange."""

from conformance.frames import name
from conformance.judgement import Tally
from conformance.story import (
    Asked,
    Key,
    MalformedMessage,
    PresenceHeard,
    Replied,
    Sending,
    Story,
)
from conformance.trace import Evicted, Probed, ProtocolTimes, QosRaised
from cymba.devices.messages import Presence

QOS = {"up/frame": 1, "up/presence": 1, "up/time": 0, "up/state": 1}
RETAINED = {"up/presence"}


def judge(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    _topics(story, tally)
    _sent(story, timing, tally)
    _presence(story, tally)
    _reconnecting(story, timing, tally)
    _exchanges(story, timing, tally)
    for malformed in story.all(MalformedMessage):
        tally.breaks("R8", f"{malformed.topic}: {malformed.detail}")


def _topics(story: Story, tally: Tally) -> None:
    # A broker may deliver every message with the listener's QoS, which is the highest.
    qos_is_seen = not story.all(QosRaised) and any(
        heard.qos < 2 and not heard.retained for heard in story.heard
    )
    for heard in story.heard:
        qos = QOS.get(heard.topic)
        if qos is None:
            tally.breaks("R1", f"a message on {heard.topic}")
        elif heard.retained:
            if heard.topic not in RETAINED:
                tally.breaks("R1", f"{heard.topic} is retained")
        elif qos_is_seen:
            tally.judge("R1", heard.qos == qos, f"{heard.topic} with QoS {heard.qos}, not {qos}")


def _sent(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    """`sent` belongs to the boot in which it is published, and is read anew for each publish."""
    before: dict[Key, Sending] = {}
    quickest: dict[tuple[int, int], float] = {}
    for sending in story.all(Sending):
        frame, key = sending.frame, sending.key
        if frame is None or key is None:
            continue
        boot = (frame.store, frame.boot)
        last, before[key] = before.get(key), sending
        if frame.sent is None:
            if sending.present is not None and boot != sending.present:
                tally.keeps("R17")
            continue
        if sending.present is not None and boot != sending.present:
            tally.breaks("R17", f"{name(key)} has sent, but is of boot {frame.boot}, which is over")
            continue
        way_s = sending.at_s - frame.sent / 1000
        quickest[boot] = min(way_s, quickest.get(boot, way_s))
        late_s = way_s - quickest[boot]
        again = last is not None and last.frame is not None and last.frame.sent == frame.sent
        if last is not None and again and sending.at_s - last.at_s > timing.grace_s / 2:
            tally.breaks("R17", f"{name(key)} was sent again with the same sent")
        else:
            tally.judge(
                "R17",
                late_s <= timing.sent_is_stale_s,
                f"{name(key)}: sent is {late_s:.1f} s older than the message",
            )


def _presence(story: Story, tally: Tally) -> None:
    last: PresenceHeard | None = None
    retained_asked = False  # since the last presence
    for happening in story.happenings:
        match happening:
            case PresenceHeard(_, presence, True):
                retained_asked = False
                if last is not None:
                    tally.judge(
                        "R36",
                        _word(presence) == _word(last.presence),
                        "the retained presence is not the last one that was published",
                    )
            case PresenceHeard(_, presence, False):
                if presence.online:
                    _follows(last, happening, tally)
                elif last is not None and last.presence.online:
                    before = last.presence
                    tally.judge(
                        "R36",
                        (presence.store, presence.boot, presence.sent)
                        == (before.store, before.boot, before.sent),
                        f"offline with sent {presence.sent}, online with {before.sent}",
                    )
                last = happening
            case Probed():
                retained_asked = last is not None
            case Evicted():
                _will(story, happening, tally)
    if retained_asked:
        tally.breaks("R36", "no presence is retained on the broker")
    if last is None and story.all(Sending) and not story.all(PresenceHeard):
        tally.breaks("R36", "frames were sent, but no presence")


def _word(presence: Presence) -> tuple[bool, int, int, int]:
    return presence.online, presence.store, presence.boot, presence.sent


def _follows(last: PresenceHeard | None, said: PresenceHeard, tally: Tally) -> None:
    """Within a store `boot` rises, and within a boot the times of the connections."""
    if last is None or last.presence.store != said.presence.store:
        return
    before, now = last.presence, said.presence
    tally.judge("R16", now.boot >= before.boot, f"presence: boot {now.boot} after {before.boot}")
    if now.boot == before.boot:
        tally.judge(
            "R36", now.sent >= before.sent, f"presence: sent {now.sent} after {before.sent}"
        )


def _will(story: Story, evicted: Evicted, tally: Tally) -> None:
    """The broker publishes the will of a connection that was cut."""
    after = [
        said for said in story.all(PresenceHeard) if said.at_s > evicted.at_s and not said.retained
    ]
    if after:
        tally.judge(
            "R36", not after[0].presence.online, "its connection was cut, and no will was published"
        )


def _reconnecting(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    for evicted in story.all(Evicted):
        back = (
            said.at_s
            for said in story.all(PresenceHeard)
            if said.at_s > evicted.at_s and not said.retained and said.presence.online
        )
        back_s = next(back, None)
        if back_s is not None:
            waited_s = back_s - evicted.at_s
            tally.judge(
                "R5",
                waited_s >= timing.reconnect_s * (1 - timing.slack),
                f"reconnected after {waited_s:.2f} s, before {timing.reconnect_s:g} s had passed",
            )


def _exchanges(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    """Each connection has a request in time, and each confirmation matches its exchange."""
    connected_s: float | None = None
    asked: Asked | None = None
    replied: Replied | None = None
    for happening in story.happenings:
        match happening:
            case PresenceHeard(at_s, presence, False, connects) if connects or not presence.online:
                _asked_in_time(connected_s, at_s, timing, tally)
                connected_s = at_s if presence.online else None
            case Asked(_, request) if request.u4 is None and request.t2 is None:
                asked, connected_s = happening, None
            case Asked(at_s, request):
                how = _unlike(happening, asked, replied, timing)
                tally.judge(
                    "R38", how is None, f"the confirmation at u4 {request.u4} is wrong: {how}"
                )
            case Replied():
                replied = happening
    _asked_in_time(connected_s, story.ended_s, timing, tally)


def _asked_in_time(
    connected_s: float | None, at_s: float, timing: ProtocolTimes, tally: Tally
) -> None:
    if connected_s is not None and at_s - connected_s > timing.exchange_within_s:
        tally.breaks("R38", f"no request within {timing.exchange_within_s:g} s of a connect")


def _unlike(
    confirmed: Asked, asked: Asked | None, replied: Replied | None, timing: ProtocolTimes
) -> str | None:
    """What is wrong with a confirmation; None if nothing is, or if it cannot be judged."""
    request = confirmed.request
    if request.t2 is None or request.t3 is None or request.u4 is None:
        return "t2, t3 or u4 is missing"
    if asked is not None and (request.boot, request.u1) != (asked.request.boot, asked.request.u1):
        return f"u1 is not {asked.request.u1}, the last request's"
    if replied is not None and replied.reply.u1 == request.u1:
        reply = replied.reply
        if (request.t2, request.t3) != (reply.t2, reply.t3):
            return "t2 and t3 are not the reply's"
    slow_ms = request.u4 - request.u1
    if not 0 <= slow_ms <= timing.answer_s * 1000:
        return f"the answer took {slow_ms} ms"
    return None
