"""Whether everybody can use each screen, and whether the app can be installed and renewed."""

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from sqlalchemy import Engine, update

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import provision
from cymba.devices.suspension import suspend
from cymba.devices.tables import DevicePresence
from service.resources.companion import BUILT
from tests.app.phones import DESK, PHONE, Phones, until

AXE = Path(__file__).parents[2] / "app" / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "<img src=x onerror='window.taken = 1'>"
# Colours go by the theme and the layout by the size, so each of both once is enough.
LOOKS = (("light", PHONE), ("dark", DESK))
SCREENS = (
    "",
    "diary",
    "diary/new",
    "diary/decide",
    "sessions",
    "sessions/by-hand",
    "findings",
    "findings/history",
    "findings/report",
    "findings/trials",
    "findings/trials/plan",
    "devices",
    "devices/claim",
    "devices/screening",
    "allow",
    "s",
    "red-flag",
    "you",
    "you/account",
    "you/audit",
    "you/consents",
    "you/data",
    "you/imports",
    "you/shares",
    "you/sign-ins",
    "operator",
    "receipt",
    "sign-in",
    "nowhere",
)


def faults(page: Page) -> list[Any]:
    if page.evaluate("() => window.axe === undefined"):
        page.evaluate(AXE.read_text())
    found = page.evaluate(f"() => axe.run(document, {{runOnly: {RULES}}})")
    return [
        (page.url, fault["id"], [node["html"][:120] for node in fault["nodes"]])
        for fault in found["violations"]
    ]


def go(page: Page, path: str) -> None:
    """Within the app, without loading it anew; with all that can be unfolded."""
    page.evaluate(
        """path => { history.pushState(null, "", path);
                     dispatchEvent(new PopStateEvent("popstate")) }""",
        f"/app/{path}",
    )
    page.locator(f"main[data-path='{path}']:not(:has(.busy))").wait_for()
    page.evaluate("() => document.querySelectorAll('details').forEach(one => (one.open = true))")


def set_look(page: Page, **look: str) -> None:
    page.evaluate("look => Object.assign(document.documentElement.dataset, look)", look)


RULES = '["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]'


def test_every_screen_can_be_used_by_everybody(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.rate(6)
    page = phone.page
    found = []
    for path in SCREENS:
        go(page, path)
        for theme, size in LOOKS:
            set_look(page, theme=theme)
            page.set_viewport_size(size)
            found += faults(page)
    assert found == []


def test_twice_the_text_is_cut_off_nowhere_and_a_thumb_finds_everything(phones: Phones) -> None:
    phone = phones.make(viewport={"width": 320, "height": 700}, locale="de-DE")
    phone.open("you")
    wide, small = [], []
    for path in SCREENS:
        go(phone.page, path)
        set_look(phone.page, text="largest")
        if phone.page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
        set_look(phone.page, text="normal")
        small += phone.page.evaluate(
            """() => [...document.querySelectorAll("a, button, select, input:not([type=radio])"
                 + ":not([type=checkbox]), label.chip, label.check, summary")]
               .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 44)
               .map((one) => location.pathname + ": " + one.outerHTML.slice(0, 100))"""
        )
    assert (wide, small) == ([], [])


def test_it_can_be_installed(phones: Phones) -> None:
    phone = phones.make()
    phone.open()
    phone.wait_for_worker()
    chromium = phone.context.new_cdp_session(phone.page)
    assert chromium.send("Page.getAppManifest")["errors"] == []
    found = chromium.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [one["errorId"] for one in found if one["errorId"] != "in-incognito"] == []


def test_a_new_version_over_a_full_queue_loses_nothing(phones: Phones, tmp_path: Path) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.wait_for_worker()
    phone.page.reload()  # from here on the worker answers
    new = shutil.copytree(BUILT, tmp_path / "new")
    index = new / "index.html"
    index.write_text(index.read_text().replace("<title>Cymba", "<title>Cymba, anew"))
    worker = new / "sw.js"
    was = worker.read_text()
    worker.write_text(was.replace("index.html", "index.html", 1) + "\n// another version")
    config = phones.server.app.config
    try:
        phones.server.stop()
        phone.open()
        phone.rate(3)
        config["APP_FOLDER"] = new
        phones.server.start()
        phone.page.evaluate(
            "() => navigator.serviceWorker.getRegistration().then((r) => r.update())"
        )
        phone.press("Use it")
        phone.wait_until_sent()
        until(phone.page, lambda: len(phone.ask("/v1/diary")["items"]) == 1)
    finally:
        config.pop("APP_FOLDER", None)


def test_an_operator_sees_the_installation_and_what_devices_say_is_text(
    phones: Phones, engine: Engine
) -> None:
    phone = phones.make()
    email = phone.sign_up()
    page = phone.open("you")
    page.get_by_text("Your devices").wait_for()
    assert page.get_by_text("This installation").count() == 0
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(Account).where(Account.email == email).values(role="operator"))
        device_id = next(provision(session, "ear_cymba")).device_id
        session.add(
            DevicePresence(
                device_id=device_id, online=True, store=7, boot=1, sent_ms=1, firmware=HOSTILE,
                queued_frames=81, changed_at=utc_now(), seen_at=utc_now(),
            )
        )  # fmt: skip
        suspend(session, device_id, utc_now())
    phone.open("you")
    page.get_by_role("link", name="This installation").click()
    page.get_by_role("heading", name="This installation", level=1).wait_for()
    page.get_by_text(HOSTILE).first.wait_for()
    assert page.evaluate("() => document.querySelectorAll('main img, main script').length") == 0
    assert page.evaluate("() => window.taken") is None
    for theme, size in LOOKS:
        set_look(page, theme=theme)
        page.set_viewport_size(size)
        assert faults(page) == []
    phone.press("Let it in")
    page.get_by_text("No device is kept out.").wait_for()
    page.get_by_label("State", exact=True).select_option("unclaimed")
    page.get_by_text("Frames it holds").wait_for()
