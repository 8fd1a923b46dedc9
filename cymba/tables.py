"""Every feature's tables in one metadata: what migrations compare the database with."""

from cymba.accounts import tables as accounts
from cymba.database import Base
from cymba.devices import tables as devices
from cymba.stimulation import tables as stimulation

__all__ = ["accounts", "devices", "metadata", "stimulation"]

metadata = Base.metadata
