"""Where the broker is, and as whom a client of ours comes to it."""

import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from cymba.settings import Settings, SettingsError

SLOT_USER = "bridge"  # in a URL it stands for the user of whichever slot reads it


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """
        Raises:
            SettingsError: CYMBA_BROKER_URL is not the URL of a broker.
        """
        try:
            return cls.parse(settings.broker_url, settings)
        except ValueError as error:
            raise SettingsError(f"CYMBA_BROKER_URL: {error}") from None

    @classmethod
    def parse(cls, url: str, settings: Settings | None = None) -> Self:
        """Read `mqtt[s]://[user:password@]host[:port]`. The certificates are those of `settings`.

        Raises:
            ValueError: it is no such URL. The message leaves the URL out: it may hold a password.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("mqtt", "mqtts") or not host:
            raise ValueError("it is not mqtt[s]://[user:password@]host[:port]")
        tls = parts.scheme == "mqtts"
        files = settings or Settings()
        return cls(
            host=unquote(host),
            port=port or (8883 if tls else 1883),
            tls=tls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            ca_file=files.broker_ca_file,
            client_cert_file=files.broker_client_cert_file,
            client_key_file=files.broker_client_key_file,
        )

    @property
    def url(self) -> str:
        """The place alone, without a user, in one way of the many that `parse` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"

    def for_slot(self, client_id: str) -> Self:
        """One URL serves every slot: the user `bridge` becomes the slot's own, its client id."""
        return replace(self, username=client_id) if self.username == SLOT_USER else self

    def tls_context(self) -> ssl.SSLContext | None:
        """With our own certificate, if there is one; None without TLS."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.client_cert_file is not None:
            context.load_cert_chain(self.client_cert_file, self.client_key_file)
        return context
