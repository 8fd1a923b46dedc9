"""What an app reads of the models of device."""

import pytest

from cymba.devices.models import MODELS, start_members


@pytest.fixture
def models(client, person):
    shown = client.get("/v1/models", headers=person.headers)
    assert shown.status_code == 200
    return {one["name"]: one for one in shown.json["items"]}


def test_each_shipped_model_is_told_with_what_it_knows(models):
    assert models.keys() == MODELS.keys()
    for name, shown in models.items():
        model = MODELS[name]
        assert shown["reports"]["current"] == model.reports.current
        assert set(shown["start_members"]) == start_members(model)
        assert shown["takes_programmes"] == bool(model.settable)
        assert shown["titles"].keys() >= {"en", "de"}


def test_a_model_by_level_has_a_limit_by_level_and_no_figure_of_a_current(models):
    band = models["neck_band"]
    assert band["limits"]["native_level"] == band["native_levels"] == 9
    assert "amplitude_ua" not in band["limits"]
    figures = ("waveform", "electrode_cm2", "compliance_v", "amplitude_step_ua")
    assert [band[name] for name in figures] == [None] * 4
    assert band["reports"]["waveform"] == "unknown"


def test_a_model_without_a_programme_takes_none(models):
    assert models["implant"]["programme_members"] == []
    assert models["neck"]["waveform"] == {
        "shape": "sine_burst", "phases": None, "carrier_hz": 5000.0,
    }  # fmt: skip
