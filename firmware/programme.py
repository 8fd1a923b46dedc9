"""The version of `desired` that a device holds: its programme, and the limits it keeps to."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cymba.devices.messages import Desired, Programme, ReportedState
from cymba.devices.models import Limits, Model, narrowed, violations, widened
from cymba.devices.signing import verify


class HeldProgramme:
    """Rules R40 and R41 of the protocol. Without a version, the model's own limits hold."""

    def __init__(self, model: Model, *, ignores_versions: bool = False) -> None:
        self.model = model
        self._ignores_versions = ignores_versions
        self.version = 0
        self.limits: Limits = narrowed(model, {})
        self._prescribed: Programme | None = None
        self._expires_ms: float | None = None

    def receive(
        self, desired: Desired, device_id: str, key: Ed25519PublicKey | None, now_ms: float
    ) -> ReportedState:
        """Apply a desired version or refuse it.

        A version that is not above the one held is ignored, and the one held is reported again:
        its report may have been lost, or a server restored from a backup does not know of it. A
        device without a key accepts none.
        """
        if desired.ver == self.version or (
            desired.ver < self.version and not self._ignores_versions
        ):
            return ReportedState(ver=self.version, applied=True)
        if key is None or not verify(key, device_id, desired):
            return _refusal(desired, "bad-signature")
        if desired.expires is not None and desired.expires <= now_ms:
            return _refusal(desired, "expired")
        too_wide = widened(self.model, desired.limits)
        limits = narrowed(self.model, desired.limits)
        beyond = too_wide or violations(self.model, desired.programme, limits)
        if beyond:
            return _refusal(desired, "beyond-limits", f"{beyond[0].field}: {beyond[0].detail}")
        self.version, self._prescribed, self.limits = desired.ver, desired.programme, limits
        self._expires_ms = desired.expires
        return ReportedState(ver=desired.ver, applied=True)

    def programme_at(self, now_ms: float) -> Programme | None:
        """The prescribed programme until it expires; the limits stay after that."""
        expired = self._expires_ms is not None and self._expires_ms <= now_ms
        return None if expired else self._prescribed


def _refusal(desired: Desired, code: str, detail: str | None = None) -> ReportedState:
    return ReportedState(ver=desired.ver, applied=False, code=code, detail=detail)
