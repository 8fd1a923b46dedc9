"""The diary's items: one row here adds an item to the API, to validation, scoring and insights.

Every item is free to ship; `licence` and `source` say why. Scales that need a licence, or a crisis
path that nobody watches (PHQ-9's item 9), are left out on purpose. Codes are LOINC or SNOMED CT
where one is known to fit, else local.
"""

from dataclasses import dataclass, field
from typing import Literal

from cymba.devices.screening import RED_FLAGS
from cymba.diary.values import (
    Answers,
    Choices,
    IntegerRange,
    Labs,
    NumberRange,
    SideEffectAnswer,
    Takings,
    ValueType,
    Yes,
)

OWN_WORDING = "own wording, free"
FREE = "free"

# As published (Kroenke 2009); the German words are those of the PHQ-D (Löwe 2010).
PHQ4_STEM = "Over the last 2 weeks, how often have you been bothered by the following problems?"
PHQ4_QUESTIONS = (
    "Feeling nervous, anxious or on edge",
    "Not being able to stop or control worrying",
    "Feeling down, depressed or hopeless",
    "Little interest or pleasure in doing things",
)
PHQ4_ANSWERS = ("Not at all", "Several days", "More than half the days", "Nearly every day")
PGIC_ANSWERS = (
    "Very much better", "Much better", "A little better", "No change", "A little worse",
    "Much worse", "Very much worse",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    title: str
    value: ValueType  # what a value looks like, its bounds and its check
    group: Literal[
        "symptom", "questionnaire", "side_effect", "treatment", "measurement", "condition", "cycle"
    ]
    unit: str | None = None  # UCUM
    code: str | None = None  # "LOINC 72514-3", "SNOMED CT 50219008"
    # Which way is worse, for items that insights use; None for those without a direction.
    worse: Literal["higher", "lower"] | None = None
    # The smallest change that matters to a person, in the item's own unit; `source` says why.
    minimal_important_difference: float | None = None
    # How many days back it asks: 0: now, or since the session; 1: the last night or 24 hours;
    # None: so long that no single day's stimulation can show in it.
    recall_days: int | None = 0
    scoring: str | None = None
    licence: str = OWN_WORDING
    source: str = ""
    red_flag: bool = False
    note: str = field(default="")


def _scale(
    name: str,
    title: str,
    *,
    worse: Literal["higher", "lower"],
    recall_days: int = 0,
    source: str = "",
) -> Item:
    return Item(
        name,
        title,
        IntegerRange(0, 10),
        "symptom",
        unit="{score}",
        worse=worse,
        minimal_important_difference=1.0,
        recall_days=recall_days,
        source=source or "0–10 numeric rating; a change of 1 point is taken as the smallest",
    )


def _pain(name: str, title: str, *, recall_days: int = 0) -> Item:
    return Item(
        name,
        title,
        IntegerRange(0, 10),
        "symptom",
        unit="{score}",
        code="LOINC 72514-3",
        worse="higher",
        minimal_important_difference=1.0,
        recall_days=recall_days,
        licence=FREE,
        source="NRS 0–10; 10–20 % is the smallest change that matters, 30 % or 2 points a moderate "
        "one (Farrar 2001; IMMPACT: Dworkin 2008)",
    )


def _side_effect(name: str, title: str, snomed: str | None, *, note: str = "") -> Item:
    return Item(
        name,
        title,
        SideEffectAnswer(),
        "side_effect",
        code=f"SNOMED CT {snomed}" if snomed else None,
        worse="higher",
        note=note,
    )


def _red_flag(name: str, snomed: str) -> Item:
    return Item(
        name,
        RED_FLAGS[name],
        SideEffectAnswer(),
        "side_effect",
        code=f"SNOMED CT {snomed}",
        worse="higher",
        red_flag=True,
        note="Stop using the device and seek medical care now. This diary is not monitored.",
    )


@dataclass(frozen=True, slots=True)
class Condition:
    name: str
    title: str
    snomed_ct: str | None
    icd_10: tuple[str, ...]


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition("diabetic_neuropathy", "Diabetic neuropathy", "230572002", ("E11.40", "E11.42")),
        Condition("postherpetic_neuralgia", "Postherpetic neuralgia", "2177002", ("B02.29",)),
        Condition("fibromyalgia", "Fibromyalgia", "203082005", ("M79.7",)),
        Condition("neuropathic_pain", "Neuropathic pain", "247398009", ("M79.2",)),
        Condition("crps", "Complex regional pain syndrome", "128200000", ("G90.5",)),
        Condition("other", "Another condition", None, ()),
    )
}


ITEMS: dict[str, Item] = {
    item.name: item
    for item in (
        _pain("pain_now", "Pain now"),
        _pain("pain_average", "Average pain over the last 24 hours", recall_days=1),
        _pain("pain_worst", "Worst pain over the last 24 hours", recall_days=1),
        Item(
            "pain_site",
            "Where it hurts",
            Choices(
                head="Head",
                face="Face",
                ear="Ear",
                neck="Neck",
                shoulder="Shoulder",
                arm="Arm",
                hand="Hand",
                chest="Chest",
                abdomen="Belly",
                upper_back="Upper back",
                lower_back="Lower back",
                hip="Hip",
                leg="Leg",
                knee="Knee",
                foot="Foot",
                widespread="In many places",
            ),
            "symptom",
        ),
        Item(
            "pain_kind",
            "What the pain is like",
            Choices(
                burning="Burning",
                shooting="Shooting",
                stabbing="Stabbing",
                electric="Like electric shocks",
                aching="Aching",
                throbbing="Throbbing",
                tingling="Tingling",
                numb="Numb",
                cold="Cold",
                pressure="Pressing",
                cramping="Cramping",
            ),
            "symptom",
        ),
        _scale("mood", "Mood", worse="lower"),
        _scale("anxiety", "Anxiety", worse="higher"),
        _scale("sleep_quality", "Sleep quality", worse="lower", recall_days=1),
        Item(
            "sleep_hours",
            "Hours slept",
            NumberRange(0, 24),
            "symptom",
            unit="h",
            code="LOINC 93832-4",
            worse="lower",
            minimal_important_difference=0.5,
            recall_days=1,
            licence=FREE,
        ),
        _scale("fatigue", "Fatigue", worse="higher"),
        _scale("energy", "Energy", worse="lower"),
        _scale("digestion", "Digestive discomfort", worse="higher"),
        _scale("stress", "Stress", worse="higher"),
        Item(
            "phq4",
            "PHQ-4: the last two weeks",
            Answers(0, 3, PHQ4_QUESTIONS, PHQ4_ANSWERS),
            "questionnaire",
            unit="{score}",
            code="LOINC 70272-0",
            worse="higher",
            recall_days=None,
            scoring="total 0–12; phq2 = answers 3 + 4, gad2 = answers 1 + 2, each 0–6, ≥ 3 noted; "
            "a missing answer gives a null score",
            licence="no permission required to reproduce, translate, display or distribute",
            source="Kroenke 2009",
            note=PHQ4_STEM,
        ),
        Item(
            "pgic",
            "Overall change since you began",
            IntegerRange(1, 7, PGIC_ANSWERS),
            "questionnaire",
            unit="{score}",
            worse="higher",
            recall_days=None,
            scoring="1 very much better … 4 no change … 7 very much worse; ≤ 2 is much better",
            licence=FREE,
            source="Guy 1976; IMMPACT",
        ),
        _side_effect("hoarseness", "Hoarseness", "50219008"),
        _side_effect("throat_discomfort", "Throat discomfort", "162397003"),
        _side_effect("cough", "Cough", "49727002"),
        _side_effect("difficulty_swallowing", "Difficulty swallowing", "40739000"),
        _side_effect("ear_pain", "Ear pain", "16001004"),
        _side_effect("headache", "Headache", "25064002"),
        _side_effect("dizziness", "Dizziness", "404640003"),
        _side_effect("tingling", "Tingling", "62507009", note="Expected: was it bothersome?"),
        _side_effect("itch", "Itch", "418290006"),
        _side_effect("skin_redness", "Skin redness", None),
        _side_effect("nausea", "Nausea", "422587007"),
        _side_effect("tinnitus", "Ringing in the ear", "60862001"),
        _side_effect(
            "palpitations", "Palpitations", "80313002", note="Stop, and ask for medical advice."
        ),
        _side_effect(
            "slow_heartbeat", "Slow heartbeat", "48867003", note="Stop, and ask for medical advice."
        ),
        _red_flag("fainting", "271594007"),
        _red_flag("breathlessness", "267036007"),
        _red_flag("chest_pain", "29857009"),
        Item(
            "cycle_start",
            "First day of a menstrual cycle",
            Yes(),
            "cycle",
            source="insights take the cycle into account from the first one logged",
        ),
        Item("medication", "Medication taken", Takings(), "treatment"),
        Item("other_treatment", "Other treatment", Takings(), "treatment"),
        Item(
            "lab",
            "Laboratory values",
            Labs(),
            "measurement",
            source="entered by the person from their own report",
        ),
        Item(
            "condition",
            "Diagnosed conditions",
            Choices(**{one.name: one.title for one in CONDITIONS.values()}),
            "condition",
            source="as the person was told; codes in CONDITIONS",
        ),
    )
}
