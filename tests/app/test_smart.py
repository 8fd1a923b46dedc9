"""An app that nobody here wrote is let in: a page of another origin, by SMART's own client for
JavaScript."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from playwright.sync_api import Page, expect

from tests.app.phones import PASSWORD, AppServer, Phones
from tests.app.test_looks import faults
from tests.service.conftest import sign_up
from tests.service.smart_app import register

CLIENT = Path(__file__).parents[2] / "app/node_modules/fhirclient/build/fhir-client.min.js"
SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"
NAME = "<img src=x onerror=alert(1)> Diary"
LAUNCH = """<!doctype html><title>launch</title><script src="/client.js"></script><script>
const asked = new URLSearchParams(location.search);
FHIR.oauth2.authorize({iss: asked.get("iss"), clientId: asked.get("client_id"),
  scope: asked.get("scope"), redirectUri: "/back", pkceMode: "required"});
</script>"""
BACK = """<!doctype html><title>back</title><h1>Not yet</h1><script src="/client.js"></script>
<script>
const say = (text) => (document.querySelector("h1").textContent = text);
FHIR.oauth2.ready().then((client) => { window.smart = client; say("Let in"); },
  (error) => say(error.message));
</script>"""


@pytest.fixture(scope="module")
def other_app() -> Iterator[str]:
    """The address of the app: files, and nothing behind them."""
    app = Flask("other")
    app.get("/launch")(lambda: Response(LAUNCH, mimetype="text/html"))
    app.get("/back", endpoint="back")(lambda: Response(BACK, mimetype="text/html"))
    app.get("/client.js", endpoint="client")(
        lambda: Response(CLIENT.read_bytes(), mimetype="text/javascript")
    )
    server = AppServer(app)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def launch(phones: Phones, other_app: str, engine: Any) -> Iterator[Any]:
    client_id, _ = register(engine, NAME, redirect_uri=f"{other_app}/back")
    iss = f"{phones.server.url}/fhir/R4"

    def start(page: Page) -> None:
        asked = f"iss={iss}&client_id={client_id}&scope={SCOPE}"
        page.goto(f"{other_app}/launch?{asked}")

    yield start
    phones.elsewhere[:] = [one for one in phones.elsewhere if not one.startswith(other_app)]


def asked(page: Page, work: str) -> Any:
    """What the client gets, or the status that refuses it."""
    return page.evaluate(
        f"() => smart.{work}.then((given) => given, (error) => error.statusCode ?? error.status)"
    )


def test_an_app_of_others_is_let_in_reads_and_is_revoked(phones: Phones, launch: Any) -> None:
    phone = phones.make()
    http = phones.server.app.test_client()
    phone.email = "ada.smart@example.org"
    sign_up(http, {"email": phone.email, "password": PASSWORD})
    page = phone.page
    launch(page)
    page.get_by_label("E-mail address").fill(phone.email)
    page.get_by_label("Password").fill(PASSWORD)
    phone.press("Sign in")
    # Its name is text, and what it asks for is there to be chosen from.
    page.get_by_role("heading", name=NAME).wait_for()
    assert faults(page) == []
    page.get_by_role("checkbox", name="Your devices", exact=True).uncheck(force=True)
    page.get_by_role("radio", name="90 days", exact=True).check(force=True)
    phone.press("Let it read")
    expect(page.get_by_role("heading", name="Let in")).to_be_visible()
    account = phone.ask("/v1/account")
    assert page.evaluate("() => smart.patient.id") == account["id"]
    assert asked(page, "patient.read()")["resourceType"] == "Patient"
    assert asked(page, "request('Device')") == 403
    before = page.evaluate("() => smart.state.tokenResponse")
    assert "patient/Device.rs" not in before["scope"].split()
    assert "patient/Patient.rs" in before["scope"].split()
    page.evaluate("() => smart.refresh()")
    after = page.evaluate("() => smart.state.tokenResponse")
    assert after["refresh_token"] != before["refresh_token"]
    assert asked(page, "patient.read()")["id"] == account["id"]
    page.goto(f"{phones.server.url}/app/you/shares")
    page.get_by_text(NAME).wait_for()
    phone.press("End")
    page.get_by_text("Over", exact=True).wait_for()
    page.go_back()
    # The page has what it was given still, and it opens nothing any more.
    expect(page.get_by_role("heading", name="Let in")).to_be_visible()
    assert asked(page, "patient.read()") in {400, 401}


def test_an_app_is_told_no(phones: Phones, launch: Any) -> None:
    phone = phones.make(locale="de-DE")
    phone.email = "grace.smart@example.org"
    given = {"email": phone.email, "password": PASSWORD, "locale": "de"}
    sign_up(phones.server.app.test_client(), given)
    launch(phone.page)
    phone.page.get_by_label("E-Mail-Adresse").fill(phone.email)
    phone.page.get_by_label("Passwort").fill(PASSWORD)
    phone.press("Anmelden")
    phone.page.get_by_text("Ihre Medikamente").wait_for()
    phone.press("Nein")
    expect(phone.page.get_by_role("heading", name="denied")).to_be_visible()
    assert phone.ask("/v1/shares")["items"] == []
