"""Where the broker is, and as whom a bridge comes to it."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cymba.settings import Settings, SettingsError


@dataclass(frozen=True)
class BrokerAddress:
    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings, client_id: str) -> "BrokerAddress":
        """Where `settings` say the broker is.

        The user name `bridge` stands for the slot's own, which is its client id: so one URL
        serves every slot. Any other user name is taken as it is.

        Raises:
            SettingsError: the URL has another form than mqtt[s]://[user:password@]host[:port].
        """
        try:
            url = urlsplit(settings.broker_url)
            port = url.port
        except ValueError as error:
            raise SettingsError(f"CYMBA_BROKER_URL: {error}") from None
        if url.scheme not in ("mqtt", "mqtts") or not url.hostname:
            raise SettingsError("CYMBA_BROKER_URL: not mqtt[s]://[user:password@]host[:port]")
        tls = url.scheme == "mqtts"
        user = unquote(url.username) if url.username else None
        return cls(
            host=url.hostname,
            port=port or (8883 if tls else 1883),
            tls=tls,
            username=client_id if user == "bridge" else user,
            password=unquote(url.password) if url.password else None,
            ca_file=settings.broker_ca_file,
            client_cert_file=settings.broker_client_cert_file,
            client_key_file=settings.broker_client_key_file,
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """With our own certificate, if there is one; None without TLS."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.client_cert_file is not None:
            context.load_cert_chain(self.client_cert_file, self.client_key_file)
        return context
