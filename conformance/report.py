"""The report of the kit: as text, and as JSON for a build that must stay conformant."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from conformance import connection, flash, frames, knowledge, moves, programme
from conformance.judgement import Outcome, RuleVerdict, Tally, verdicts
from conformance.rules import JUDGED, PAGE, Place
from conformance.story import Sending, read
from conformance.trace import Entry, ProtocolTimes
from cymba.devices.models import Model

WIDTH = 60


@dataclass(frozen=True, slots=True)
class Report:
    device_id: str
    seconds: float
    messages: int
    frames: int
    verdicts: list[RuleVerdict]

    def outcomes(self) -> Counter[Outcome]:
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def outcome(self) -> Outcome:
        """The worst of any rule."""
        outcomes = self.outcomes()
        if outcomes["broken"]:
            return "broken"
        return "unseen" if outcomes["unseen"] else "kept"


def judge(
    device_id: str, trace: list[Entry], timing: ProtocolTimes, model: Model | None = None
) -> Report:
    """`model`: the device's, where it is not one that comes with Cymba and that presence names."""
    story = read(trace)
    tally = Tally()
    knowledge.judge(story, model, tally)
    for judged in (frames, flash, connection, programme, moves):
        judged.judge(story, timing, tally)
    return Report(
        device_id=device_id,
        seconds=round(story.ended_s - story.began_s, 1),
        messages=sum(not heard.retained for heard in story.heard),
        frames=len(story.all(Sending)),
        verdicts=verdicts(tally),
    )


def as_json(report: Report, places: dict[str, Place]) -> dict[str, Any]:
    return {
        "device_id": report.device_id,
        "seconds": report.seconds,
        "messages": report.messages,
        "frames": report.frames,
        "rules": [
            {
                **asdict(verdict),
                "asks": JUDGED[verdict.rule],
                "line": places[verdict.rule].line if verdict.rule in places else None,
                "text": places[verdict.rule].text if verdict.rule in places else None,
            }
            for verdict in report.verdicts
        ],
    }


def as_text(report: Report, places: dict[str, Place]) -> str:
    page = f"docs/{PAGE.name}"
    lines = [
        (
            f"{report.device_id}: {report.messages} messages, {report.frames} of them frames, "
            f"in {report.seconds:g} s"
        ),
        *_silence(report),
        "",
    ]
    for verdict in report.verdicts:
        place = places.get(verdict.rule)
        where = f"{page}:{place.line}" if place else ""
        asks = JUDGED[verdict.rule]
        outcome = "not seen" if verdict.outcome == "unseen" else verdict.outcome
        lines.append(f"{outcome:<9} {verdict.rule:<4} {asks:<{WIDTH}} {where}".rstrip())
        lines += [f"{'':<15}{breach}" for breach in verdict.breaches]
        if len(verdict.breaches) < verdict.seen and verdict.outcome == "broken":
            lines.append(f"{'':<15}({verdict.seen} observations)")
        if verdict.hidden_by:
            lines.append(f"{'':<15}cannot be judged while {verdict.hidden_by} is broken")
    outcomes = report.outcomes()
    lines += [
        "",
        f"{outcomes['kept']} kept, {outcomes['broken']} broken, {outcomes['unseen']} not seen",
    ]
    return "\n".join(lines)


def _silence(report: Report) -> list[str]:
    """The likely mistake where nothing came: a broker drops a wrong topic without a word."""
    if report.frames:
        return []
    what = "no frame came" if report.messages else "nothing came on the four topics of a device"
    return [
        f"{what}. If the device is connected and publishes, look at its topic first:",
        (
            f"    cymba/v1/{report.device_id}/up/frame (presence, state, time), exactly so: no "
            "capital letters, no slash at the end. A broker drops others without a word (R1)."
        ),
    ]
