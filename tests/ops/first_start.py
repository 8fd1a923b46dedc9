"""An installation's first people and device, who know its public addresses and the authority of its
certificates, and nothing else."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import trustme

from cymba.devices.provisioning import Credentials
from tests.end_to_end.devices import ScriptedDevice, ScriptedFleet, session_frames
from tests.end_to_end.parts import PATIENCE_S, wait_until

FRAMES = 60
FIRST = 0.2  # of the frames
PERSON = {"email": "ada@example.org", "password": "correct horse battery", "time_zone": "UTC"}
OPERATOR = "op@example.org"


class Installation(Protocol):
    @property
    def mails(self) -> Path:
        """The folder of those that nobody sends on."""

    def operate(self, command: str) -> str:
        """What `cymba …` by hand says."""

    def certify(self, certificate: bytes, key: bytes) -> None:
        """From then on the broker and the proxy speak TLS."""


@dataclass
class PublicAddresses:
    broker: str
    web: str
    web_port: int


class FirstStart:
    """`fleet` has sent the first frames of its session, and they are freed."""

    def __init__(self, host: Installation, public: PublicAddresses) -> None:
        self._host, self._public = host, public
        made = host.operate(f"account create {OPERATOR} --role operator --generate")
        self._operator_password = re.findall(r"password +(\S+)", made)[0]
        made = host.operate("device provision --model ear_cymba --csv -")
        self.worn = Credentials(*made.splitlines()[1].split(",")[: len(Credentials._fields)])
        self._trust = ssl.create_default_context()
        self._certify()
        self.web = httpx.Client(
            base_url=f"https://{public.web}:{public.web_port}", verify=self._trust,
            timeout=PATIENCE_S,
        )  # fmt: skip
        self.person = self._sign_up()
        claim = {"serial": self.worn.serial, "code": self.worn.claim_code}
        assert (
            self.web.post("/v1/devices/claim", json=claim, headers=self.person).status_code == 201
        )
        self.fleet = ScriptedFleet([self._device(self.worn, 7)])
        self.fleet.allow(FIRST)
        self.fleet.start()

    def wait_for_first_frames(self) -> None:
        fleet = self.fleet
        wait_until(lambda: fleet.freed >= FIRST * FRAMES, what="the first frames are freed")

    def operator(self) -> dict[str, str]:
        return self._sign_in(OPERATOR, self._operator_password)

    def _certify(self) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert(self._public.broker, self._public.web)
        authority.configure_trust(self._trust)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        self._host.certify(chain, issued.private_key_pem.bytes())

    def _sign_up(self) -> dict[str, str]:
        """With the code of the one mail, which became a file."""
        assert self.web.post("/v1/accounts", json=PERSON).status_code == 202
        mails = self._host.mails
        wait_until(lambda: bool(list(mails.glob("*.eml"))), what="the mail is sent")
        (mail,) = mails.glob("*.eml")
        code = re.findall(r"^    ([\w=-]+)$", mail.read_text(), re.MULTILINE)[-1]
        assert self.web.post("/v1/accounts", json=PERSON | {"code": code}).status_code == 201
        return self._sign_in(PERSON["email"], PERSON["password"])

    def _sign_in(self, email: str, password: str) -> dict[str, str]:
        answer = self.web.post("/v1/auth/token", json={"email": email, "password": password})
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _device(self, credentials: Credentials, seed: int) -> ScriptedDevice:
        return ScriptedDevice(
            credentials.device_id, credentials.secret, 8883,
            session_frames(store=seed, count=FRAMES, seed=seed),
            frames_per_s=4.0, resend_s=1.5, host=self._public.broker, tls=self._trust,
        )  # fmt: skip


@contextmanager
def first_start(host: Installation, public: PublicAddresses) -> Iterator[FirstStart]:
    begun = FirstStart(host, public)
    try:
        begun.wait_for_first_frames()
        yield begun
    finally:
        begun.fleet.stop()
        begun.web.close()
