"""What tests need beside Python: where the programs are, and what is said where one is not.

A bare machine tests less without them, and the summary says so. CI has them all.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

# Where Debian keeps servers is in the PATH of root alone.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
IN_CI = bool(os.environ.get("CI"))
_NAMES = (
    "mosquitto", "nginx", "chromium", "prometheus", "promtool", "pdftotext", "qpdf", "pgbouncer",
    "gcc", "systemd-analyze",
)  # fmt: skip
_FOUND = {name: shutil.which(name, path=_PATH) for name in _NAMES}
MOSQUITTO, NGINX, CHROMIUM, PROMETHEUS, PROMTOOL, PDFTOTEXT, QPDF, PGBOUNCER, GCC, _ = (
    _FOUND.values()
)
NODE = Path(sys.executable).with_name("node")  # of the locked dependencies
MOUNT = "root's right to mount"
MISSING = [name for name, path in _FOUND.items() if path is None]
if os.geteuid() != 0:
    MISSING.append(MOUNT)


def needs(what: str) -> pytest.MarkDecorator:
    """Skips where it is missing; in CI nothing is skipped, so there it is a failure."""
    return pytest.mark.skipif(what in MISSING and not IN_CI, reason=f"{what} is not here")


def or_another(program: str, another: str) -> str:
    """`program`, or `another` where that is missing. CI proves it with both."""
    return another if program in MISSING and not IN_CI else program
