"""A file from another app is chosen, looked at, stored and undone, on a phone."""

from pathlib import Path

from sqlalchemy import Engine

from cymba.settings import Settings
from tests.app.phones import AppPhone, Phones, until
from tests.app.test_looks import faults
from tests.imports.files_by_hand import BEARABLE, apple_zip
from workers.imports import ImportsWorker


def bring(phone: AppPhone, engine: Engine, file: Path) -> None:
    worker = ImportsWorker(engine, Settings())
    phone.open("you/imports").locator("input[type=file]").set_input_files(file)
    phone.page.get_by_text("Working on it.").wait_for()
    until(phone.page, lambda: worker.run_once()[0])
    phone.page.get_by_role("heading", name="What was understood").wait_for()


def test_a_file_is_shown_stored_and_undone(phones: Phones, engine: Engine, tmp_path: Path) -> None:
    phone, worker = phones.make(), ImportsWorker(engine, Settings())
    phone.sign_up()
    file = tmp_path / "export.zip"
    file.write_bytes(apple_zip())
    bring(phone, engine, file)
    phone.page.get_by_text("2 are new").wait_for()
    assert faults(phone.page) == []
    phone.press("Store it")
    until(phone.page, lambda: worker.run_once()[0])
    phone.page.get_by_role("heading", name="Brought in").wait_for()
    assert len(phone.ask("/v1/readings/heart_rate")["items"]) == 2
    phone.press("Undo")
    phone.press("Take it all away")
    until(phone.page, lambda: worker.run_once()[0])
    phone.page.get_by_role("heading", name="Brought in").wait_for(state="detached")
    assert phone.ask("/v1/readings/heart_rate")["items"] == []


def test_a_scale_that_the_file_does_not_say_is_asked(
    phones: Phones, engine: Engine, tmp_path: Path
) -> None:
    phone, worker = phones.make(), ImportsWorker(engine, Settings())
    phone.sign_up()
    file = tmp_path / "bearable.csv"
    file.write_text(BEARABLE)
    bring(phone, engine, file)
    assert phone.page.get_by_role("button", name="Store it").count() == 0
    for label, value in (("Which number becomes 0?", "1"), ("Which number becomes 10?", "5")):
        for field in phone.page.get_by_label(label).all():
            field.fill(value)
    assert faults(phone.page) == []
    phone.press("Read it like this")
    until(phone.page, lambda: worker.run_once()[0])
    phone.press("Store it")
    until(phone.page, lambda: worker.run_once()[0])
    until(phone.page, lambda: len(phone.ask("/v1/diary")["items"]) == 3)
