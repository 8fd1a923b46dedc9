"""From signing up to a diary entry, with and without a network, on one phone and on two."""

from datetime import timedelta

from playwright.sync_api import Route
from sqlalchemy import Engine, select

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.insights import findings
from simulator.people import World
from tests.app.phones import PASSWORD, AppPhone, Phones, until
from tests.insights.people import agree, live_in_database


def kept(phone: AppPhone) -> str:
    """All answers and drafts that this browser keeps, of whatever account."""
    return str(phone.stored("-answers", "answers"))


def ratings(phone: AppPhone) -> list[int]:
    items = phone.ask("/v1/diary")["items"]
    return sorted(entry["items"]["pain_now"] for entry in items if "pain_now" in entry["items"])


def two_phones_and_an_entry(phones: Phones) -> tuple[AppPhone, AppPhone, str]:
    """Of one person, who has rated a 4 on the first phone; the id of that entry."""
    one, other = phones.make(), phones.make()
    email = one.sign_up()
    one.rate(4)
    one.wait_until_sent()
    other.sign_in(email)
    return one, other, one.ask("/v1/diary")["items"][0]["id"]


def test_from_signing_up_to_a_rating_in_two_taps(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.rate(4)
    phone.wait_until_sent()
    assert ratings(phone) == [4]
    phone.press("Undo")
    phone.wait_until_sent()
    until(phone.page, lambda: ratings(phone) == [])


def test_an_entry_on_the_plane_is_sent_after_landing(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.wait_for_worker()
    phone.context.set_offline(True)
    phone.page.reload()
    phone.open()
    phone.rate(7)
    phone.open("diary")
    phone.page.get_by_text("Not sent yet").wait_for()
    phone.open("diary/new").get_by_label("Note").fill("over the sea")
    phone.press("Save")
    phone.page.get_by_text("over the sea").wait_for()
    assert ratings(phone) == []
    phone.context.set_offline(False)
    until(phone.page, lambda: len(phone.ask("/v1/diary")["items"]) == 2)
    phone.page.get_by_text("Not sent yet").first.wait_for(state="detached")
    assert ratings(phone) == [7]
    assert {entry["note"] for entry in phone.ask("/v1/diary")["items"]} == {None, "over the sea"}


def test_a_server_that_goes_and_comes_back_gets_each_entry_once(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phones.server.stop()
    phone.rate(2)
    phone.rate(3)
    phones.server.start()
    phone.press("Check now")
    phone.wait_until_sent()
    assert ratings(phone) == [2, 3]


def test_what_was_written_before_signing_in_is_theirs_if_they_say_so(phones: Phones) -> None:
    phone = phones.make()
    phone.open()
    phone.rate(5)
    phone.sign_up()
    phone.press("Yes, put them into my diary")
    until(phone.page, lambda: ratings(phone) == [5])


def test_two_accounts_on_one_phone_never_see_each_other(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.rate(9)
    phone.wait_until_sent()
    phone.open("you")
    phone.press("Sign out")
    phone.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    phone.page.get_by_text("Nobody is signed in here.").wait_for()
    kept = phone.page.evaluate("async () => (await indexedDB.databases()).map((one) => one.name)")
    assert {"cymba"} <= set(kept) <= {"cymba", "cymba-nobody", "cymba-nobody-answers"}
    phone.sign_up()
    phone.open("diary").get_by_text("Nothing is written yet.").wait_for()


def test_the_person_settles_what_two_phones_changed(phones: Phones) -> None:
    one, other, entry = two_phones_and_an_entry(phones)
    other.open(f"diary/{entry}")
    other.wait_for_worker()
    other.context.set_offline(True)
    for phone, value in ((one, 6), (other, 8)):
        pain = phone.open(f"diary/{entry}").get_by_role("group", name="Pain now")
        pain.get_by_role("radio", name=str(value), exact=True).check(force=True)
        phone.press("Save")
    until(one.page, lambda: ratings(one) == [6])
    other.context.set_offline(False)
    other.open("diary/decide").get_by_text("Changed in two places").wait_for()
    other.press("Take what I wrote")
    until(other.page, lambda: ratings(other) == [8])
    other.page.get_by_text("There is nothing to decide.").wait_for()


def test_a_form_that_was_open_while_the_app_pulled_writes_over_nothing_unseen(
    phones: Phones,
) -> None:
    one, other, entry = two_phones_and_an_entry(phones)
    for phone in (other, one):
        pain = phone.open(f"diary/{entry}").get_by_role("group", name="Pain now")
        pain.get_by_role("radio", name="9" if phone is other else "6", exact=True).check(force=True)
    one.press("Save")
    until(one.page, lambda: ratings(one) == [6])
    with other.page.expect_response(lambda answer: answer.url.endswith("/v1/screening")):
        other.page.evaluate("() => dispatchEvent(new Event('online'))")  # it pulls
    other.press("Save")
    other.page.get_by_text("1 change was not taken.").first.wait_for()
    assert ratings(one) == [6]


def test_a_red_flag_stands_above_every_screen_before_the_server_knows(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.wait_for_worker()
    phone.context.set_offline(True)
    form = phone.open("diary/new")
    form.get_by_text("Side effects").first.click()
    form.get_by_role("checkbox", name="Chest pain").check(force=True)
    phone.press("Save")
    phone.page.get_by_role("heading", name="Seek care first").wait_for()
    for path in ("sessions", "you", ""):
        phone.open(path).get_by_role("alert").get_by_text("seek medical care now").wait_for()
    # It was sent, and what the server says of it cannot be read yet.
    phone.context.route("**/v1/screening", lambda route: route.abort())
    phone.context.set_offline(False)
    until(phone.page, lambda: len(phone.ask("/v1/screening")["red_flags"]) == 1)
    phone.wait_until_sent()
    assert phone.page.get_by_role("alert").is_visible()
    phone.context.unroute("**/v1/screening")
    phone.open("red-flag").get_by_label("Who has looked at it").fill("Dr. Okafor")
    phone.press("A clinician has looked at it")
    until(phone.page, lambda: phone.ask("/v1/screening")["red_flags"] == [])
    phone.page.get_by_role("alert").wait_for(state="detached")


def test_erasing_the_account_leaves_nothing_here_and_there(phones: Phones) -> None:
    phone = phones.make()
    email = phone.sign_up()
    phone.rate(1)
    phone.open("you/data").get_by_label("I understand that everything will be gone").check()
    phone.press("Erase my account")
    phone.press("Erase everything")
    phone.page.get_by_text("Your account is erased, here and on the server.").first.wait_for()
    phone.page.get_by_role("heading", name="What was erased").wait_for()
    with phones.server.app.test_client() as client:
        asked = client.post("/v1/auth/token", json={"email": email, "password": PASSWORD})
    assert asked.status_code == 401


def test_what_was_not_pulled_yet_is_not_said_to_be_none(phones: Phones) -> None:
    phone = phones.make()
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:  # the first page of several
            answer = route.fetch()
            route.fulfill(response=answer, json=answer.json() | {"more": True})
        elif len(asked) > 2:
            route.continue_()

    phone.page.route("**/v1/sync?*", hold)
    phone.sign_up()
    last = phone.page.get_by_role("region", name="Last session")
    until(phone.page, lambda: len(asked) == 2)
    last.get_by_text("Reading").wait_for()
    assert not last.get_by_text("There is no session yet.").count()
    asked[1].continue_()
    last.get_by_text("There is no session yet.").wait_for()


def test_an_entry_half_written_outlives_a_reload_and_no_sign_out(phones: Phones) -> None:
    phone = phones.make()
    email = phone.sign_up()
    page = phone.open("diary/new")
    page.get_by_label("Note").fill("a storm")
    pain = page.get_by_role("group", name="Pain now")
    pain.get_by_role("radio", name="6", exact=True).check(force=True)
    begun = page.get_by_label("When it was felt").input_value()
    until(page, lambda: "a storm" in kept(phone))
    phone.open("diary/new")
    page.get_by_text("did not save it yet").wait_for()
    assert page.get_by_label("Note").input_value() == "a storm"
    assert page.get_by_label("When it was felt").input_value() == begun
    assert pain.get_by_role("radio", name="6", exact=True).is_checked()
    phone.press("Save")
    page.get_by_text("Saved.").first.wait_for()
    phone.open("diary/new")
    assert page.get_by_label("Note").input_value() == ""
    page.get_by_label("Note").fill("mine alone")
    until(page, lambda: "mine alone" in kept(phone))
    phone.open("you")
    phone.press("Sign out")
    phone.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    phone.page.get_by_role("link", name="Sign in, or make an account").wait_for()
    until(page, lambda: "mine alone" not in kept(phone))
    phone.sign_in(email)
    phone.open("diary/new")
    assert page.get_by_label("Note").input_value() == ""
    assert ratings(phone) == [6]


def test_what_was_never_opened_is_there_without_a_network(phones: Phones) -> None:
    phone = phones.make()
    phone.sign_up()
    phone.wait_for_worker()
    until(phone.page, lambda: "history month" in kept(phone))
    phone.context.set_offline(True)
    phone.open("findings/trials").get_by_text("There was no trial yet.").wait_for()
    phone.open("findings/history").get_by_role("heading", name="Use of the device").wait_for()


def test_a_finding_and_its_picture_are_there_without_a_network(
    phones: Phones, engine: Engine
) -> None:
    phone = phones.make()
    email = phone.sign_up()
    phone.wait_for_worker()
    now = utc_now()
    with UnitOfWork(engine) as session, session.begin():
        account_id = session.scalars(select(Account.id).where(Account.email == email)).one()
        agree(session, account_id, "insights")
        first_day = now.date() - timedelta(days=100)
        live_in_database(session, account_id, World(days=98), seed=1, first_day=first_day)
        findings.refresh(session, account_id, now=now)
    phone.open()
    until(phone.page, lambda: "pain_now/plot.svg?lag=" in kept(phone))
    phone.context.set_offline(True)
    page = phone.open("findings")
    page.get_by_role("link", name="Pain now").first.click()
    picture = page.get_by_role("figure").get_by_role("img")
    picture.wait_for()
    until(page, lambda: picture.evaluate("(it) => it.naturalWidth") > 0)


def test_a_report_is_taken_along_and_opened_by_a_link(phones: Phones) -> None:
    person, visitor = phones.make(), phones.make()
    person.sign_up()
    person.rate(4)
    person.wait_until_sent()
    person.open("findings/report").get_by_text("Ratings, as a mean").wait_for()
    person.open("you/shares")
    person.press("Let somebody look")
    person.page.get_by_label("Who is it for?").fill("Dr. Weber")
    for scope in ("Report", "Sessions", "Diary"):  # the last two are chosen at first
        person.page.get_by_role("checkbox", name=scope, exact=True).click(force=True)
    person.press("Make the link")
    link = person.page.get_by_role("textbox", name="Link").input_value()
    visitor.page.goto(link)
    visitor.page.get_by_text("Ratings, as a mean").wait_for()
    for phone in (person, visitor):
        if phone is person:
            phone.open("findings/report")
        with phone.page.expect_download() as begun:
            phone.press("Download as PDF")
        assert begun.value.path().read_bytes().startswith(b"%PDF")
