"""The contraindication questions, as a versioned text. After a change they are asked again.

A change of any word changes the digest of its language; the tests hold `EDITION` to them. The
questions are a safeguard beside the device's instructions, no medical advice, and no answer proves
safety.
"""

import hashlib
import json
from functools import cache
from typing import Literal, NamedTuple

from cymba.devices.messages import Site
from cymba.text_version import TextVersion
from cymba.voice import Voice

Tier = Literal["block", "clearance", "situational"]
"""`block`: not with this device. `clearance`: only after a clinician has agreed. `situational`:
shown with the questions, without an answer."""

Answer = Literal["no", "yes", "unsure", "cleared"]
"""`cleared`: yes, and a clinician who knows of it has agreed. `unsure` weighs as much as yes."""

EDITION = 1


class Question(NamedTuple):
    name: str
    tier: Tier
    text: str
    sites: tuple[Site, ...] = ()  # none: for every device

    def asked_for(self, sites: tuple[Site, ...]) -> bool:
        return not self.sites or any(site in self.sites for site in sites)


QUESTIONS: tuple[Question, ...] = (
    Question(
        "active_implant",
        "block",
        "Do you have a pacemaker, a defibrillator (ICD) or any other active implant?",
    ),
    Question("cochlear_implant", "block", "Do you have a cochlear implant?"),
    Question("vagotomy", "block", "Has your vagus nerve been cut at the neck?"),
    Question("slow_heart", "block", "Is your resting heart rate very low?"),
    Question("pregnancy", "block", "Are you pregnant, or might you be?"),
    Question("metal_at_site", "block", "Is there metal in your body where the electrode sits?"),
    Question("skin_at_site", "block", "Is the skin broken or infected where the electrode sits?"),
    Question("under_18", "block", "Are you under 18 years old?"),
    Question("carotid_disease", "block", "Do you have a disease of the carotid artery?", ("neck",)),
    Question("neck_surgery", "block", "Have you had surgery on your neck recently?", ("neck",)),
    Question("arrhythmia", "clearance", "Do you have an irregular heartbeat or a long QT time?"),
    Question(
        "coronary_disease",
        "clearance",
        "Do you have severe coronary disease, or have you had a heart attack in the last 5 years?",
    ),
    Question("blood_pressure", "clearance", "Is your blood pressure not under control?"),
    Question("seizures", "clearance", "Have you had seizures?"),
    Question("fainting", "clearance", "Have you fainted?"),
    Question("shunt", "clearance", "Do you have a shunt?"),
    Question(
        "brain",
        "clearance",
        "Have you had a brain tumour, a bleed in the brain or an injury of the head?",
    ),
    Question("cancer", "clearance", "Do you have cancer?"),
    Question("neck_anatomy", "clearance", "Is the anatomy of your neck unusual?"),
    Question("other_stimulator", "clearance", "Do you use another stimulator?"),
    Question("driving", "situational", "Never stimulate while you drive or use machines."),
    Question("water", "situational", "Never stimulate in the bath or in water."),
    Question("sleep", "situational", "Never stimulate while you sleep."),
    Question("mri", "situational", "Take the device off before an MRI scan."),
    Question(
        "metal_near_electrode",
        "situational",
        "Take off headphones and jewellery where the electrode sits.",
    ),
)


def version_in(language: str) -> TextVersion:
    return TextVersion(EDITION, language)


@cache
def digest_in(language: str) -> bytes:
    """Of the questions as they are read in a language."""
    voice = Voice.of(language)
    read = [list(one._replace(text=voice.translate(one.text))) for one in QUESTIONS]
    return hashlib.sha256(json.dumps(read, ensure_ascii=False).encode()).digest()


def must_be_answered(sites: tuple[Site, ...]) -> list[Question]:
    return [one for one in QUESTIONS if one.asked_for(sites) and one.tier != "situational"]


def precautions(sites: tuple[Site, ...]) -> list[Question]:
    """What is shown beside the questions and takes no answer."""
    return [one for one in QUESTIONS if one.asked_for(sites) and one.tier == "situational"]
