"""What the printed report says of devices and their programmes, of what is missing, and of how its
figures were made."""

from collections.abc import Iterator
from typing import Any

from cymba.devices.models import allows_no_output
from cymba.reports import words
from cymba.reports.blocks import Block, Shown, Teller, heading, items, of_person, table, text


def programme_line(device: Shown, teller: Teller) -> str:
    """What is desired of a device, and whether it holds that."""
    desired = device["programme"]["desired"]
    if desired is None:
        return teller.say(words.NO_PROGRAMME)
    said = _programme(desired, teller)
    if not device["programme"]["in_step"]:
        said = f"{said}. {teller.say(words.PROGRAMME_WAITS)}"
    return said


def name_of(device: Shown) -> str:
    """The person's own name of it, and what it is."""
    if not device["name"]:
        return str(device["model_title"])
    return f"{of_person(device['name'])} ({device['model_title']})"


def programmes_told(report: Shown, teller: Teller) -> Iterator[Block]:
    say = teller.say
    yield heading(say(words.PROGRAMMES))
    if not report["devices"]:
        yield text(say(words.NO_DEVICE))
    for device in report["devices"]:
        line = say(
            words.DEVICE_LINE,
            device=name_of(device),
            serial=device["serial"],
            day=teller.day(device["claimed_at"]),
        )
        if device["firmware"] is not None:
            firmware = of_person(device["firmware"])
            line = f"{line}, {say(words.FIRMWARE, firmware=firmware)}"
        yield text(line, look="strong")
        if not device["versions"]:
            yield text(say(words.NO_PROGRAMME))
            continue
        head = (words.PROGRAMME, words.SET_ON, words.STATE)
        yield table(
            [say(one) for one in head],
            [_version(one, teller) for one in device["versions"]],
            wide=(10, 3, 5),
        )
    yield from teller.more(report["more_devices"])


def made_told(report: Shown, days: int, teller: Teller) -> Iterator[Block]:
    say, gaps = teller.say, report["gaps"]
    yield heading(say(words.DATA_GAPS))
    for template, gap in ((words.GAPS_USE, gaps["use"]), (words.GAPS_RATINGS, gaps["ratings"])):
        line = say(template, n=teller.number(gap["days"]), days=teller.number(days))
        spans = "; ".join(_span(one, teller) for one in gap["spans"])
        yield text(f"{line} {spans}" if spans else line)
        yield from teller.more(gap["more"])
    names = {one["id"]: name_of(one) for one in report["devices"]}
    behind = [
        say(words.UNSYNCED[one["unsynced"]], device=names.get(one["device_id"], one["device_id"]))
        for one in gaps["unsynced"]
    ]
    if behind:
        yield items(behind)
    sums = {
        name: teller.number(sum(one[key] for one in report["use"]["devices"]))
        for name, key in (("n", "incomplete"), ("doubtful", "doubtful"), ("unsure", "unsure_times"))
    }
    yield text(say(words.INCOMPLETE, **sums))
    yield heading(say(words.HOW_MADE))
    methods = [say(one) for one in words.METHODS]
    found = report["findings"]
    if found is not None and found["computed_at"] is not None:
        day, version = teller.day(found["computed_at"]), found["method_version"]
        methods[words.METHOD_OF_LINKS] += f" {say(words.METHOD_OF, version=version, day=day)}"
    yield items(methods)


def _span(span: Shown, teller: Teller) -> str:
    first, last = teller.day(span["first_day"]), teller.day(span["last_day"])
    return first if span["days"] == 1 else teller.say(words.SPAN, first_day=first, last_day=last)


def _version(one: Shown, teller: Teller) -> list[str]:
    state = teller.say(words.STATES[one["state"]])
    if one["refusal"] is not None:
        state = f"{state}: {of_person(one['refusal'])}"
    return [
        _programme(one, teller),
        teller.day(one["created_at"]),
        state,
    ]


def _programme(version: Shown, teller: Teller) -> str:
    say, given = teller.say, version["programme"]

    def part(name: str, template: str, digits: int = 0, scale: float = 1) -> str | None:
        value: Any = given.get(name)
        return value and say(template, n=teller.number(value / scale, digits))

    if allows_no_output(version["limits"]):
        return say(words.NO_CURRENT)
    on, off = given.get("on_s"), given.get("off_s")
    cycle = say(words.ON_OFF, on=teller.number(on), off=teller.number(off)) if on and off else None
    strength = part("amplitude_ua", "{n} mA", 2, 1000) or part("native_level", words.BY_LEVEL)
    parts = [
        strength or say(words.TITRATED),
        part("frequency_hz", "{n} Hz", 1),
        part("pulse_width_us", "{n} µs"),
        cycle,
        part("duration_s", words.LONG_MIN, 0, 60),
    ]
    return ", ".join(one for one in parts if one)
