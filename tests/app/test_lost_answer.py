"""A push whose answer is lost on its way back."""

from playwright.sync_api import Route

from tests.app.phones import Phones


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
