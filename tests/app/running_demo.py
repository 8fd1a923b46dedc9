"""The demo and a browser that is signed in to its app, for pictures and for measuring."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.app.phones import PHONE
from tests.end_to_end.demo import Demo
from tests.programs import CHROMIUM

# To measure memory exactly, after a collection
MEASURED = ["--enable-precise-memory-info", "--js-flags=--expose-gc"]
ARGUMENTS = ["--no-sandbox", *MEASURED]


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
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        demo = Demo(Path(folder))
        try:
            _, email, _, password = demo.read_until(r"^  Login ").split()
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            yield RunningDemo(f"http://127.0.0.1:{demo.http_port}", email, password, browser)
            browser.close()
        finally:
            demo.process.send_signal(signal.SIGINT)
            demo.process.wait(60)
