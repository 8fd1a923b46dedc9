"""What an app of others' may ask to read: scopes of SMART App Launch 2, and those of version 1.

`patient/Observation.rs` is reading one (`r`) and searching (`s`); version 1 says both with `.read`.
An app that asks for more than there is gets what there is. A scope that is narrowed by a query
(`…rs?category=…`) is not given at all: without its query it would open more than was asked for.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

RESOURCE_TYPES = (
    "Patient",
    "Device",
    "DeviceMetric",
    "DeviceUseStatement",
    "Procedure",
    "Observation",
    "QuestionnaireResponse",
    "AdverseEvent",
    "Condition",
    "MedicationStatement",
    "Consent",
    "Provenance",
)
PATIENT = "launch/patient"  # the app asks which patient it reads of
OFFLINE = "offline_access"  # it wants to read on when the person has left it: refresh tokens
Interaction = Literal["r", "s"]

_DATA = re.compile(r"patient/(\*|[A-Za-z]{1,40})\.(read|\*|c?r?u?d?s?)")


def grantable(asked: str) -> list[str]:
    """What of a request's `scope` a person could grant, each for one resource type."""
    return list(dict.fromkeys(one for word in asked.split() for one in _grantable(word)))


def opens_data(scope: str) -> bool:
    return scope not in {PATIENT, OFFLINE}


def resource_type(scope: str) -> str:
    """Of a scope that opens data."""
    return scope.removeprefix("patient/").partition(".")[0]


def allow(scopes: Sequence[str], wanted_type: str, interaction: Interaction) -> bool:
    """Whether they open a resource type for reading one or for searching."""
    for scope in filter(opens_data, scopes):
        _, _, actions = scope.partition(".")
        if resource_type(scope) == wanted_type and (actions == "read" or interaction in actions):
            return True
    return False


def _grantable(word: str) -> Iterator[str]:
    if word in {PATIENT, OFFLINE}:
        yield word
        return
    found = _DATA.fullmatch(word)
    if found is None:
        return
    wanted, actions = found.groups()
    if actions in {"read", "*"}:
        given = "read"
    else:
        given = "".join(action for action in "rs" if action in actions)
    if given:
        for known in RESOURCE_TYPES if wanted == "*" else (wanted,):
            if known in RESOURCE_TYPES:
                yield f"patient/{known}.{given}"
