"""What the diary asks, for the app's build: `python -m ops.app_items > app/generated/items.json`.

The app has it before it has ever seen a server, in each language.
"""

import sys

import orjson

from cymba.diary.items import CONDITIONS, ITEMS
from cymba.diary.values import LABS
from cymba.voice import LANGUAGES, Voice

VOICES = {language: Voice.of(language) for language in LANGUAGES}


def in_each(text: str) -> dict[str, str]:
    return {language: voice.translate(text) for language, voice in VOICES.items()}


def items() -> bytes:
    """Items, conditions and laboratory values by name, in the order in which they are shown."""
    found = {
        "items": {
            item.name: {
                "title": in_each(item.title),
                "group": item.group,
                "schema": item.value.json_schema(),
                "unit": item.unit,
                "worse": item.worse,
                "red_flag": item.red_flag,
                "note": in_each(item.note) if item.note else None,
            }
            for item in ITEMS.values()
        },
        "conditions": {one.name: in_each(one.title) for one in CONDITIONS.values()},
        "labs": {
            name: {"title": in_each(title), "unit": unit, "low": low, "high": high}
            for name, (title, _, unit, low, high) in LABS.items()
        },
    }
    return orjson.dumps(found)


if __name__ == "__main__":
    sys.stdout.buffer.write(items())
