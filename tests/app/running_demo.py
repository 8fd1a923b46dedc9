"""The demo and a browser that is signed in to its app, for pictures and for measuring."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from ops import ports
from tests.programs import CHROMIUM

# To measure memory exactly, after a collection
MEASURED = ["--enable-precise-memory-info", "--js-flags=--expose-gc"]
ARGUMENTS = ["--no-sandbox", *MEASURED]
PHONE = {"width": 390, "height": 844}


@dataclass(frozen=True)
class RunningDemo:
    url: str
    email: str
    password: str
    browser: Browser

    def signed_in(self, **options: Any) -> tuple[BrowserContext, Page]:
        """A phone of its own, in which the demo's person has signed in."""
        context = self.browser.new_context(
            **{"viewport": PHONE, "locale": "en-GB", "base_url": self.url} | options
        )
        page = context.new_page()
        page.goto("/app/sign-in")
        page.locator("input[type=email]").fill(self.email)
        page.locator("input[type=password]").fill(self.password)
        page.keyboard.press("Enter")
        page.wait_for_url("**/app/")
        page.locator("h1").wait_for()
        return context, page


@contextmanager
def running_demo() -> Iterator[RunningDemo]:
    """On free ports, with data in a folder that goes at the end."""
    http, mqtt = ports.free_port(), ports.free_port()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [
            sys.executable, "-m", "ops", "demo", "--data", folder,
            "--http-port", str(http), "--mqtt-port", str(mqtt),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        try:
            email, password = _login(process)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            yield RunningDemo(f"http://127.0.0.1:{http}", email, password, browser)
            browser.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _login(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"Login\s+(\S+)\s+password (\S+)", line):
            return found[1], found[2]
    raise RuntimeError(f"the demo has ended with {process.wait()}")
