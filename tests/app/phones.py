"""A phone: a browser's context with the app in it, and what a person does there."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from uuid import uuid4

from flask import Flask
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request
from sqlalchemy import Engine
from werkzeug.serving import BaseWSGIServer, make_server

from cymba.accounts.sign_up import make_code
from cymba.database import utc_now
from service.http.services import Services
from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.free_ports import free_port

PASSWORD = "three plain words"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
# What a browser says of a request that found no server, or was refused: that is asked for here. And
# what Dexie says where a database that is to go waits for a read that is under way.
EXPECTED = ("net::ERR_", "Failed to load resource", "was blocked")
STORED = """async ([nameEnd, store]) => {
  const names = (await indexedDB.databases()).map((one) => one.name);
  const found = names.filter((one) => one.endsWith(nameEnd)).map(async (name) => {
    const database = await new Promise((done, failed) => {
      const asked = indexedDB.open(name);
      asked.onsuccess = () => done(asked.result);
      asked.onerror = () => failed(asked.error);
    });
    const all = await new Promise((done) => {
      const asked = database.transaction(store).objectStore(store).getAll();
      asked.onsuccess = () => done(asked.result);
    });
    database.close();
    return all;
  });
  return (await Promise.all(found)).flat();
}"""


class AppServer:
    """The application on a port that it keeps when it is stopped and started again."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: BaseWSGIServer | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self.app, threaded=True)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Phones:
    """Makes phones, and notes what they ask of others and what goes wrong in them."""

    browser: Browser
    server: AppServer
    engine: Engine
    stack: ExitStack
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def make(self, **options: Any) -> "AppPhone":
        context = self.browser.new_context(
            viewport=options.pop("viewport", PHONE),
            locale=options.pop("locale", "en-GB"),
            timezone_id="Europe/Lisbon",
            base_url=self.server.url,
            reduced_motion="reduce",
            **options,
        )
        self.stack.callback(context.close)
        context.set_default_timeout(PATIENCE_S * 1000)
        context.on("request", self._note_request)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        return AppPhone(context, context.new_page(), self.server)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.server.url, "blob:", "data:")):
            self.elsewhere.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        is_expected = any(part in message.text for part in EXPECTED)
        if message.type in {"error", "warning"} and not is_expected:
            self.errors.append(message.text)


@dataclass
class AppPhone:
    context: BrowserContext
    page: Page
    server: AppServer
    email: str = ""

    def open(self, path: str = "") -> Page:
        self.page.goto(f"/app/{path}")
        self.page.locator("h1").wait_for()
        return self.page

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def sign_up(self) -> str:
        """Make an account, with the code that the mail would bring; the e-mail address."""
        self.email = f"{uuid4().hex[:12]}@example.org"
        self.open("sign-in")
        self.press("Make an account")
        self.page.get_by_label("E-mail address").fill(self.email)
        self.page.get_by_label("New password").fill(PASSWORD)
        self.press("Send me a code")
        key = Services.of(self.server.app).sign_up_key
        code = make_code(key, self.email, utc_now())
        self.page.get_by_label("Code from the mail").fill(code)
        self.press("Make my account")
        self.page.get_by_role("heading", name="Today", level=1).wait_for()
        return self.email

    def sign_in(self, email: str) -> None:
        self.email = email
        self.open("sign-in")
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.press("Sign in")
        self.page.get_by_role("heading", name="Today", level=1).wait_for()

    def rate(self, value: int) -> None:
        """In two taps."""
        self.page.get_by_role("radio", name=str(value), exact=True).check(force=True)
        self.press(f"Save {value}")
        self.page.get_by_text(f"Saved: Pain now {value}.").first.wait_for()

    def wait_until_sent(self) -> None:
        self.page.get_by_text("Everything is sent.").wait_for()

    def wait_for_worker(self) -> None:
        """From then on the app opens without a network."""
        self.page.evaluate("() => navigator.serviceWorker.ready")

    def stored(self, name_end: str, store: str) -> list[Any]:
        """What the browser keeps in that store of each database whose name ends so."""
        return list(self.page.evaluate(STORED, [name_end, store]))

    def ask(self, path: str) -> Any:
        """What the server says to this person."""
        with self.server.app.test_client() as client:
            given = {"email": self.email, "password": PASSWORD}
            token = client.post("/v1/auth/token", json=given).json["access_token"]
            return client.get(path, headers={"Authorization": f"Bearer {token}"}).json


def until(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait for something outside of the page, while the page goes on."""
    wait_until(
        is_so,
        what=lambda: f"what the server has, while the phone shows\n{page.inner_text('body')}",
        pause=lambda: page.wait_for_timeout(50),
    )
