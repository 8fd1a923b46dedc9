"""Judges what a device does with the programmes that a drill sends."""

from conformance.judgement import Tally
from conformance.story import Desiring, Reported, Story
from conformance.trace import ProtocolTimes
from cymba.stimulation.wire.messages import ReportedState


def judge(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    given = [one for one in story.all(Desiring) if one.expected is not None]
    for number, desiring in enumerate(given):
        ends_s = given[number + 1].at_s if number + 1 < len(given) else story.ended_s
        reports = [
            one.report
            for one in story.all(Reported)
            if desiring.at_s < one.at_s <= ends_s and one.report.ver == desiring.desired.ver
        ]
        how = _fault(desiring, reports)
        if how is None:
            tally.keeps("R40")
        elif reports or ends_s - desiring.at_s >= timing.report_within_s:
            tally.breaks("R40", how)


def _fault(desiring: Desiring, reports: list[ReportedState]) -> str | None:
    applied = any(report.applied for report in reports)
    ver = desiring.desired.ver
    match desiring.expected:
        case "refused" if applied:
            return f"ver {ver} was applied, but should have been refused"
        case "ignored" if applied:
            return f"ver {ver} was applied over a higher one"
        case "refused" | "reported" if not reports:
            return f"nothing was reported of ver {ver}"
    return None
