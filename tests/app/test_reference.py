"""The reference at /docs in a browser: whole, from this server alone, no wider than a phone."""

import pytest
from playwright.sync_api import Browser, expect

from tests.app.phones import PHONE, AppServer

# Its summary is longer than the bar of a phone.
LONG = "#tag/auth/POST/v1/auth/logout"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_it_whole(browser: Browser, server: AppServer, theme: str) -> None:
    with browser.new_context(viewport=PHONE, color_scheme=theme) as phone:
        page = phone.new_page()
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{server.url}/docs{LONG}")
        expect(page.get_by_text("/v1/auth/logout").first).to_be_visible(timeout=120_000)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        expect(page.locator("#missing")).to_be_hidden()
        assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []
        assert wrong == []
