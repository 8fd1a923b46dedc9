"""The pictures of the app in README.md: `python -m tests.app.screenshots`.

They are of the running demo, at the size of a phone, and in few colours, so that they are small.
"""

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.app.running_demo import RunningDemo, running_demo

FOLDER = Path("docs/pictures")
COLOURS = 48
ASKS_EVERY_MS = 3_000
SCREENS = {
    "today": "",
    "live": "sessions/{live}/live",
    "history": "findings/history",
    "findings": "findings",
}


def take(demo: RunningDemo) -> None:
    context, page = demo.signed_in(color_scheme="dark", device_scale_factor=1)
    live = running_session(page)
    for name, path in SCREENS.items():
        page.goto(f"/app/{path.format(live=live)}")
        page.locator("h1").wait_for()
        page.wait_for_load_state("domcontentloaded")
        page.wait_for_timeout(6_000)  # a live view has something to show after some frames
        picture = Image.open(io.BytesIO(page.screenshot()))
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(FOLDER / f"app-{name}.png", optimize=True)
    context.close()


def running_session(page: Page) -> str:
    """That of the device that lives now; the others live faster."""
    page.goto("/app/sessions")
    link = page.locator("a.list-row", has_text="Ear, cymba conchae").filter(has_text="Running")
    while not link.count():
        page.wait_for_timeout(ASKS_EVERY_MS)
        page.reload()
    return str(link.get_attribute("href")).rpartition("/")[2]


if __name__ == "__main__":
    with running_demo() as demo:
        take(demo)
