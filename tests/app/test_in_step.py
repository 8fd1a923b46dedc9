"""Two browsers and another phone of one account end with what the server has; nothing is lost."""

import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Request, Route

from tests.app.phones import PASSWORD, AppPhone, Phones, until
from tests.end_to_end.parts import wait_until
from tests.service.resources.sync_phone import Phone

STEPS = 14
# Nothing is asked for because time has passed.
NO_CLOCK = "window.setInterval = () => 0"
SEEN = """state => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class OtherPhone:
    """The phone of docs/mobile-sync.md, of which no line is the app's."""

    def __init__(self, phone: AppPhone) -> None:
        self._client = phone.server.app.test_client()
        given = {"email": phone.email, "password": PASSWORD}
        token = self._client.post("/v1/auth/token", json=given).json["access_token"]
        self._signed = {"Authorization": f"Bearer {token}"}
        self.phone = Phone(self._send)

    def _send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        answer = self._client.open(path, method=method, json=body, headers=self._signed)
        return answer.status_code, answer.json

    def write(self) -> None:
        """Without a network: it is pushed at the end."""
        fields = {"felt_at": "2026-03-01T08:00:00Z", "time_zone": "UTC", "items": {"pain_now": 5}}
        self.phone.edit(str(uuid4()), fields)

    def sync(self) -> None:
        wait_until(lambda: self.phone.push() and self.phone.pull(), what="a push and a pull")

    def copy(self) -> list[tuple[str, int]]:
        return in_order((entity_id, one["version"]) for entity_id, one in self.phone.mirror.items())

    def entries(self) -> list[tuple[str, int]]:
        """What the server has."""
        status, page = self._send("GET", "/v1/diary?limit=100", None)
        assert status == 200, page
        return in_order((one["id"], one["version"]) for one in page["items"])

    def account_id(self) -> str:
        return str(self._send("GET", "/v1/account", None)[1]["id"])


def in_order(entries: Iterable[Any]) -> list[tuple[str, int]]:
    return sorted((str(one), int(version)) for one, version in entries)


@pytest.mark.parametrize("seed", [1, 2])
def test_after_work_on_and_off_the_network_all_have_the_same(phones: Phones, seed: int) -> None:
    chance = random.Random(seed)
    one, other = phones.make(), phones.make()
    email = one.sign_up()
    other.sign_in(email)
    third = OtherPhone(one)
    for phone in (one, other):
        phone.wait_for_worker()
    made = 0
    for _ in range(STEPS):
        phone = chance.choice((one, other))
        step = chance.choice(("offline", "online", "rate", "rate", "rate", "elsewhere", "reload"))
        if step in {"offline", "online"}:
            phone.context.set_offline(step == "offline")
        elif step == "elsewhere":
            third.write()
            made += 1
        elif step == "reload":
            phone.open()
        else:
            phone.rate(chance.randrange(11))
            made += 1
    for phone in (one, other):
        phone.context.set_offline(False)
    third.sync()
    account_id = third.account_id()

    def is_in_step(phone: AppPhone) -> bool:
        kept = [one for one in phone.stored(f"cymba-{account_id}", "mirror") if "felt_at" in one]
        return in_order((one["id"], one["version"]) for one in kept) == third.entries()

    until(one.page, lambda: len(third.entries()) == made)
    for phone in (one, other):
        until(phone.page, partial(is_in_step, phone))
    third.sync()
    assert third.copy() == third.entries()


def test_a_push_whose_answer_was_lost_is_sent_again_and_counts_once(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    lost: list[int] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)  # the server has it, and the phone does not know
        route.abort("connectionreset")

    phone.page.route("**/v1/sync", lose)
    phone.rate(4)
    phone.press("Check now")
    phone.wait_until_sent()
    assert lost == [200]
    assert len(phone.ask("/v1/diary")["items"]) == 1


def test_each_of_two_phones_shows_what_the_other_writes(phones: Phones) -> None:
    one, other = phones.make(), phones.make()
    for phone in (one, other):
        phone.context.add_init_script(NO_CLOCK)
    other.sign_in(one.sign_up())
    other.open("diary")
    one.rate(4)
    other.page.get_by_text("Pain now 4").wait_for()
    one.open("diary")
    other.open()
    other.rate(7)
    one.page.get_by_text("Pain now 7").wait_for()


def test_a_page_that_is_hidden_or_has_no_network_holds_no_stream(phones: Phones) -> None:
    phone = phones.make()
    asked: list[Request] = []
    ended: list[Request] = []

    def note(where: list[Request]) -> Callable[[Request], None]:
        return lambda one: where.append(one) if "/v1/sync/live" in one.url else None

    def have_stream(number: int, *, open_now: bool) -> None:
        wanted = (number, number - open_now)
        until(phone.page, lambda: (len(asked), len(ended)) == wanted)

    phone.page.on("request", note(asked))
    phone.page.on("requestfailed", note(ended))
    phone.page.on("requestfinished", note(ended))
    phone.sign_up()
    have_stream(1, open_now=True)
    phone.page.evaluate(SEEN, "hidden")
    have_stream(1, open_now=False)
    phone.page.evaluate(SEEN, "visible")
    have_stream(2, open_now=True)
    phone.context.set_offline(True)
    have_stream(2, open_now=False)
    phone.rate(3)
    phone.context.set_offline(False)
    have_stream(3, open_now=True)
    phone.wait_until_sent()


def test_a_tab_that_is_closed_in_mid_sync_leaves_it_to_the_next(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    # What the other phone writes is not to come with the first pull.
    phone.page.get_by_text("Checked ").wait_for()
    phone.context.add_init_script(NO_CLOCK)
    phone.context.route("**/v1/sync/live*", lambda route: route.abort())
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    phone.page.route("**/v1/sync?*", hold)
    third = OtherPhone(phone)
    third.write()
    third.sync()
    phone.press("Check now")
    until(phone.page, lambda: held != [])
    first, phone.page = phone.page, phone.context.new_page()
    phone.open("diary")
    phone.page.get_by_text("Nothing is written yet.").wait_for()
    first.close()
    phone.page.get_by_text("Pain now 5").wait_for()
