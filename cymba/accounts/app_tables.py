"""Apps of others that an operator has registered, and what people let them read."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from cymba.database import Base, CreatedAt


class AppClient(Base):
    """An app that may ask people to let it in: a client, as OAuth calls it. Its row stays when it
    is removed, for the shares that name it."""

    __tablename__ = "app_client"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(100))
    redirect_uris: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret_hash: Mapped[bytes | None]  # SHA-256; null: it runs where it can keep no secret
    created_at: Mapped[CreatedAt]
    removed_at: Mapped[datetime | None]


class AppGrant(Base):
    """That an app holds a share. It begins with a code, which the app trades in for tokens."""

    __tablename__ = "app_grant"

    share_id: Mapped[UUID] = mapped_column(
        ForeignKey("share.id", ondelete="CASCADE"), primary_key=True
    )
    client_id: Mapped[UUID] = mapped_column(ForeignKey("app_client.id"), index=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(64)))
    code_hash: Mapped[bytes] = mapped_column(unique=True)  # SHA-256
    redirect_uri: Mapped[str] = mapped_column(Text)
    code_challenge: Mapped[str] = mapped_column(String(43))  # S256, RFC 7636
    until: Mapped[datetime | None]  # what the person chose; null: as long as one access token
    redeemed_at: Mapped[datetime | None]  # when the code was traded in
    refresh_number: Mapped[int] = mapped_column(default=0)  # of the refresh token that is good
    refreshed_at: Mapped[datetime | None]  # when the one before it was spent
