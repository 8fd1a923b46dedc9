"""What an app asks to read, in the words of SMART, and what there is of it."""

import pytest

from cymba.accounts import app_scopes


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("patient/Observation.rs", "patient/Observation.rs"),
        ("patient/Observation.cruds patient/Patient.r", "patient/Observation.rs patient/Patient.r"),
        (
            "patient/Observation.read patient/Patient.*",
            "patient/Observation.read patient/Patient.read",
        ),
        ("patient/Observation.write patient/Nothing.rs user/Patient.rs openid", ""),
        ("patient/Observation.rs  patient/Observation.rs", "patient/Observation.rs"),
        ("patient/Observation.sr patient/observation.rs patient/Observation.", ""),
    ],
)
def test_of_scopes_there_is_what_can_be_read(asked, given):
    assert app_scopes.grantable(asked) == given.split()


def test_every_type_at_once_is_each_type_by_name():
    """So the person can leave one out, and a type that is added later is not let in."""
    every = app_scopes.grantable("patient/*.rs")
    assert every == [f"patient/{one}.rs" for one in app_scopes.RESOURCE_TYPES]


def test_reading_one_is_not_searching():
    scopes = ["patient/Observation.r", "patient/Condition.s", "launch/patient"]
    assert app_scopes.allow(scopes, "Observation", "r")
    assert not app_scopes.allow(scopes, "Observation", "s")
    assert app_scopes.allow(scopes, "Condition", "s")
    assert not app_scopes.allow(scopes, "Condition", "r")
    assert not app_scopes.allow(scopes, "Patient", "r")
