"""Every feature's tables in one metadata: what migrations compare the database with."""

import cymba.accounts.address_directory
import cymba.accounts.audit_guard
import cymba.accounts.audit_months
import cymba.diary.ratings  # noqa: F401 - all for what belongs to a table
from cymba.accounts import app_tables as apps
from cymba.accounts import tables as accounts
from cymba.database import Base
from cymba.devices import tables as devices
from cymba.diary import tables as diary
from cymba.imports import tables as imports
from cymba.insights import tables as insights
from cymba.stimulation import tables as stimulation
from cymba.stimulation.written import tables as written
from cymba.sync import tables as sync

__all__ = [
    "accounts", "apps", "devices", "diary", "imports", "insights", "metadata", "stimulation",
    "sync", "written",
]  # fmt: skip

metadata = Base.metadata
