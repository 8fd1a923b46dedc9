"""The app in a browser: what its first load weighs, how soon it shows, and what it keeps.

python -m benchmarks.bench_app

In Chromium, on the running demo, on this machine: so without a network's delay. The long series are
made here and given to the browser as the API's answers, because the demo has no two years. The
floor of a plot is an empty page of the same browser, which shows what the browser takes by itself.
"""

import gzip
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from playwright.sync_api import Page, Route

from service.resources.companion import BUILT, built_files
from tests.app.running_demo import RunningDemo, running_demo

HOUR_S = 3_600
POINTS = 800  # what the app asks for
WEEKS = 104
CHANNELS = ("amplitude_delivered_ua", "impedance_ohm", "heart_rate_bpm")
PAINTED = """() => new Promise(done => {
  const read = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    paint ? done(paint.startTime) : setTimeout(read, 20);
  };
  read();
})"""
HEAP = "() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }"
START = datetime(2026, 3, 1, 18, tzinfo=UTC)


def transferred(demo: RunningDemo) -> int:
    """Bytes until the app shows, as they are on the wire."""
    sizes: list[int] = []
    context = demo.browser.new_context(base_url=demo.url)
    page = context.new_page()
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page.goto("/app/")
    page.locator("h1").wait_for()
    shown = sum(sizes)
    context.close()
    return shown


def built_bytes() -> int:
    """All of the app, which its cache keeps from the first load on."""
    files = built_files(BUILT).values()
    return sum(min(len(one.body), len(gzip.compress(one.body))) for one in files)


def painted_from_cache_ms(page: Page) -> float:
    page.goto("/app/")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    return middle(lambda: (page.reload(), page.evaluate(PAINTED))[1])


def empty_page_ms(demo: RunningDemo) -> float:
    context = demo.browser.new_context(base_url=demo.url)
    page = context.new_page()
    page.route("**/nothing", lambda route: route.fulfill(body="<p>.</p>", content_type="text/html"))
    page.goto("/nothing")
    taken = middle(lambda: (page.reload(), page.evaluate(PAINTED))[1])
    context.close()
    return taken


def plotted_ms(page: Page, path: str, drawn: str) -> float:
    """From the press on a link to the drawing, with the answers at hand."""
    script = """([path, drawn]) => new Promise(done => {
      const began = performance.now();
      const see = () => document.querySelector(drawn)
        ? requestAnimationFrame(() => done(performance.now() - began))
        : requestAnimationFrame(see);
      const link = document.createElement("a");
      link.href = path;
      document.body.append(link);
      link.click();
      link.remove();
      see();
    })"""

    def once() -> float:
        page.goto("/app/you")
        page.locator("h1").wait_for()
        return float(page.evaluate(script, [path, drawn]))

    once()  # the screen's own script is loaded once
    return middle(once)


def live_heap_mb(page: Page, session_id: str) -> tuple[float, float]:
    """The page's memory as the view opens, and after it has taken an hour of readings."""
    stream = "".join(live_event(second) for second in range(HOUR_S))
    page.route(
        "**/live", lambda route: route.fulfill(body=stream, content_type="text/event-stream")
    )
    page.goto("/app/you")
    before = float(page.evaluate(HEAP))
    page.goto(f"/app/sessions/{session_id}/live")
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(3_000)  # what was read meanwhile is let go of
    return before, float(page.evaluate(HEAP))


def live_event(second: int) -> str:
    data = {
        "at": (START + timedelta(seconds=second)).isoformat(),
        "store": 1, "seq": second, "interval_ms": 1000, "count": 1,
        "columns": {name: [reading(name, second)] for name in CHANNELS},
    }  # fmt: skip
    return f"event: samples\nid: 1:0-{second}\ndata: {json.dumps(data)}\n\n"


def reading(channel: str, second: int) -> int:
    wave = math.sin(second / 40)
    of = {"amplitude_delivered_ua": 1_800, "impedance_ohm": 2_400, "heart_rate_bpm": 66}
    return round(of[channel] * (1 + 0.05 * wave))


def telemetry(session_id: str) -> dict[str, Any]:
    offsets = [round(1000 * HOUR_S * i / POINTS) for i in range(POINTS)]
    scales = {"amplitude_delivered_ua": 1000, "impedance_ohm": 1000, "heart_rate_bpm": 1}
    return {
        "session_id": session_id,
        "started_at": START.isoformat(),
        "series": [
            {
                "channel": name, "title": name, "unit": "1", "shown_unit": "1",
                "scale": scales[name], "offset_ms": offsets,
                "values": [reading(name, ms // 1000) for ms in offsets],
            }
            for name in CHANNELS
        ],
    }  # fmt: skip


def history() -> dict[str, Any]:
    first = date(2024, 11, 4)
    return {
        "time_zone": "Europe/Lisbon",
        "items": [
            {
                "first_day": str(first + timedelta(weeks=week)),
                "last_day": str(first + timedelta(weeks=week, days=6)),
                "sessions": 7, "sessions_written": 0, "stimulating_min": 90 + week,
                "delivered_charge_mc": 30.5, "days_with_session": 6, "days_known": 7,
                "adherence": 0.8571, "complete": True,
                "symptoms": [{"item": "pain_now", "mean": 4.2, "ratings": 9}],
            }
            for week in range(WEEKS)
        ],
    }  # fmt: skip


def answering(body: object) -> Callable[[Route], None]:
    text = json.dumps(body)
    return lambda route: route.fulfill(body=text, content_type="application/json")


def middle(work: Callable[[], float], times: int = 5) -> float:
    return sorted(work() for _ in range(times))[times // 2]


def main() -> None:
    with running_demo() as demo:
        shown = transferred(demo)
        context, page = demo.signed_in(service_workers="allow")
        page.goto("/app/sessions")
        link = page.locator("a.list-row").nth(3)
        link.wait_for()
        session_id = str(link.get_attribute("href")).rpartition("/")[2]
        page.route("**/telemetry?*", answering(telemetry(session_id)))
        page.route("**/v1/history?*", answering(history()))
        cached = painted_from_cache_ms(page)
        rows = [
            ("first load until it shows, compressed", f"{shown / 1000:.0f} kB"),
            ("all of it, which is cached then, compressed", f"{built_bytes() / 1000:.0f} kB"),
            ("an empty page, reloaded, to its first paint", f"{empty_page_ms(demo):.0f} ms"),
            ("the app from its cache, to its first paint", f"{cached:.0f} ms"),
            (
                f"press to plot, an hour of telemetry ({len(CHANNELS)} x {POINTS} points)",
                f"{plotted_ms(page, f'/app/sessions/{session_id}', 'canvas'):.0f} ms",
            ),
            (
                f"press to list, {WEEKS} weeks of history",
                f"{plotted_ms(page, '/app/findings/history', '.period'):.0f} ms",
            ),
        ]
        before, after = live_heap_mb(page, session_id)
        rows.append(("memory before a live view", f"{before:.0f} MB"))
        rows.append(("memory after an hour of live view", f"{after:.0f} MB"))
        context.close()
    print("| what | measured |\n|---|---:|")
    for what, measured in rows:
        print(f"| {what} | {measured} |")


if __name__ == "__main__":
    main()
