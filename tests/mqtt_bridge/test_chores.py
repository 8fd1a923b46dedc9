"""What one chore waits for, and what it fails at, is nobody else's."""

import threading

from psycopg.errors import DeadlockDetected
from sqlalchemy.exc import OperationalError

from mqtt_bridge.chores import Chores
from tests.end_to_end.parts import wait_until


class Counted:
    def __init__(self) -> None:
        self.done = 0

    def do(self) -> bool:
        self.done += 1
        return False


class Endless:
    def do(self) -> bool:
        return True


class Waiting:
    def __init__(self) -> None:
        self.answered = threading.Event()

    def do(self) -> bool:
        self.answered.wait()
        return False


class Disconnected:
    def do(self) -> bool:
        raise OperationalError("SELECT 1", None, Exception())


class Crossed:
    def do(self) -> bool:
        raise OperationalError("UPDATE", None, DeadlockDetected())


def test_a_chore_that_others_are_in_the_way_of_is_named_and_the_database_is_not_blamed() -> None:
    chores = Chores([Counted(), Crossed()])
    chores.start()
    wait_until(lambda: chores.trouble() is not None, what="it is told")
    assert chores.trouble() == "Crossed is tried again (DeadlockDetected 40P01)"
    assert chores.problem() is None
    chores.stop()


def test_no_chore_waits_for_another() -> None:
    waiting, counted = Waiting(), Counted()
    chores = Chores([Disconnected(), Endless(), waiting, counted])
    chores.start()
    wait_until(lambda: counted.done > 0, what="it is done beside the others")
    assert "does not answer" in str(chores.trouble())
    assert chores.problem() is None
    waiting.answered.set()
    chores.stop()
