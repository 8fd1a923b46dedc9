"""What the diary asks, for the app's build: `python -m ops.app_items > app/generated/items.json`.

The app has it before it has ever seen a server, in each language, as `/v1/diary/items` says it.
"""

import sys

import orjson

from cymba.diary.values import LABS
from cymba.voice import LANGUAGES, Voice
from service.resources.diary import catalogue


def items() -> bytes:
    labs = {name: {"unit": row[2], "low": row[3], "high": row[4]} for name, row in LABS.items()}
    spoken = {language: catalogue(Voice.of(language))["items"] for language in LANGUAGES}
    return orjson.dumps({"items": spoken, "labs": labs})


if __name__ == "__main__":
    sys.stdout.buffer.write(items())
