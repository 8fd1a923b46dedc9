"""The programme that a device holds, and the current that its person titrates to."""

import math
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from cymba.devices.charge import Pulse, phase_charge_uc
from cymba.devices.messages import Programme
from cymba.devices.models import Model, usual_programme
from cymba.stimulation.wire.messages import Event
from firmware.programme import HeldProgramme
from simulator.physical import physical, whole_programme
from simulator.physiology import Body

TITRATED_EVERY_SESSIONS = 20  # with a new electrode or fresh gel
COMFORT_OVER_SENSORY = 2.0
COMFORT_OVER_DISCOMFORT = 0.8


@dataclass(frozen=True, slots=True)
class Titration:
    """A person raises the current step by step until they feel it, and on to a comfortable level:
    twice the sensory threshold, or four fifths of discomfort if that is less."""

    sensory_threshold_ua: int
    amplitude_ua: int
    steps: int

    @property
    def event(self) -> Event:
        detail: dict[str, str | int | float | bool | None] = {
            "sensory_threshold_ua": self.sensory_threshold_ua,
            "amplitude_ua": self.amplitude_ua,
            "steps": self.steps,
        }
        return Event(name="titrated", detail=detail)


class Prescription(HeldProgramme):
    """The programme that is held, and what its person takes of it."""

    def __init__(self, model: Model, *, ignores_versions: bool = False) -> None:
        super().__init__(model, ignores_versions=ignores_versions)
        self._physical = physical(model)
        self._titration: Titration | None = None
        self._sessions = 0

    def for_session(
        self, body: Body, now_ms: float, rng: np.random.Generator
    ) -> tuple[Programme, Titration | None]:
        """The programme of the next session, and its titration if it begins with one.

        A prescribed amplitude is an upper limit: the person may take less, never more. Times are ms
        since 1970.
        """
        fresh = self._sessions % TITRATED_EVERY_SESSIONS == 0
        self._sessions += 1
        if self._titration is None or fresh:
            self._titration = titrate(self._physical, body, rng)
        found = self._titration
        asked = self.programme_at(now_ms) or usual_programme(self.model)
        set_to = whole_programme(self._physical, asked)
        step_ua = self._physical.amplitude_step_ua or 1
        most_ua = self._most_ua(set_to, asked.native_level, step_ua)
        level = int(min(found.amplitude_ua, most_ua)) // step_ua
        programme = replace(
            set_to,
            frequency_hz=float(set_to.frequency_hz or 1),  # as it is after a message
            amplitude_ua=level * step_ua,
            native_level=level if self.model.native_levels is not None else None,
            sensory_threshold_ua=found.sensory_threshold_ua,
        )
        return programme, found if fresh else None

    def _most_ua(self, set_to: Programme, ceiling_level: int | None, step_ua: int) -> float:
        """The most current that programme and limits allow."""
        hard, limits = self._physical.hard, self.limits
        limit_ua = hard.amplitude_ua if limits.amplitude_ua is None else limits.amplitude_ua
        most_ua = [set_to.amplitude_ua or limit_ua or 0, limit_ua or 0]
        if limits.native_level is not None and not self.model.knows_current:
            most_ua += [limits.native_level * step_ua]
            most_ua += [(ceiling_level or limits.native_level) * step_ua]
        charge_uc = phase_charge_uc(
            self._physical.waveform or Pulse(), 1.0, set_to.pulse_width_us or 1
        )
        allowed_uc = (
            hard.phase_charge_uc if limits.phase_charge_uc is None else (limits.phase_charge_uc)
        )
        return min(*most_ua, (allowed_uc or 0) / charge_uc)


def titrate(model: Model, body: Body, rng: np.random.Generator) -> Titration:
    """Find the current in the model's steps. Thresholds vary a little from day to day."""
    step_ua = model.amplitude_step_ua or 1
    felt_ua = body.sensory_threshold_ua * float(rng.lognormal(0.0, 0.08))
    sensory_ua = math.ceil(felt_ua / step_ua) * step_ua
    pleasant_ua = min(
        COMFORT_OVER_SENSORY * felt_ua, COMFORT_OVER_DISCOMFORT * felt_ua * body.discomfort_ratio
    )
    steps = max(sensory_ua, math.floor(pleasant_ua / step_ua) * step_ua) // step_ua
    return Titration(sensory_threshold_ua=sensory_ua, amplitude_ua=steps * step_ua, steps=steps)
