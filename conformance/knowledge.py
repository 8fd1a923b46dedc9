"""Judges whether a device tells what its model knows, and makes nothing up; and whether it is cut
off for frames that are too large."""

from itertools import pairwise

from conformance.judgement import Tally
from conformance.story import PresenceHeard, Sending, Story
from cymba.devices.models import MODELS, Model, named, programme_members, start_members
from cymba.stimulation.session.made_up import unknown_to
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, Frame, SamplesFrame, StartFrame

CUT_OFF_TIMES = 3


def judge(story: Story, model: Model | None, tally: Tally) -> None:
    said = story.all(PresenceHeard)
    if model is None:
        names = [one.presence.model for one in said if one.presence.model]
        model = MODELS.get(names[-1]) if names else None
    _cut_off(story, tally)
    if model is None:
        return
    for sending in story.all(Sending):
        if sending.frame is not None:
            _frame(model, sending.frame, tally)


def _frame(model: Model, frame: Frame, tally: Tally) -> None:
    where = f"seq {frame.seq} of store {frame.store}"
    if isinstance(frame, StartFrame):
        told = named(frame.programme).keys()
        missing = sorted(start_members(model) - told)
        known = start_members(model) | programme_members(model)
        if model.knows_current:
            known |= {"native_level", "sensory_threshold_ua", "ramp_ua_per_s"}
        made_up = sorted(told - known)
        tally.judge(
            "R42", not missing, f"{where}: a start of {model.name} lacks {', '.join(missing)}"
        )
        tally.judge("R42", not made_up, f"{where}: {model.name} does not know {', '.join(made_up)}")
    elif isinstance(frame, SamplesFrame):
        made_up = sorted(frame.c.keys() & unknown_to(model.reports))
        tally.judge("R42", not made_up, f"{where}: {model.name} does not know {', '.join(made_up)}")


def _cut_off(story: Story, tally: Tally) -> None:
    """A broker cuts off whoever sends more than it takes, without a word: the frame comes first
    again on the next connection, and for ever."""
    connects = [one.at_s for one in story.all(PresenceHeard) if one.connects]
    frames = [sending.at_s for sending in story.all(Sending)]
    in_vain = 0
    for begins_s, ends_s in pairwise(connects):
        came = any(begins_s <= at_s < ends_s for at_s in frames)
        in_vain = 0 if came else in_vain + 1
    if in_vain >= CUT_OFF_TIMES and not any(at_s >= connects[-1] for at_s in frames):
        tally.breaks(
            "R7",
            f"it connected {in_vain + 1} times and no frame came: does the broker cut it off for "
            f"frames over {MAX_PAYLOAD_BYTES:,} bytes?",
        )
