"""How many years at school a text takes to read: two published measures, one for each language.

English: Flesch-Kincaid grade level (Kincaid, Fishburne, Rogers & Chissom 1975, Research Branch
Report 8-75, Naval Technical Training Command). German: first Wiener Sachtextformel (Bamberger &
Vanecek 1984, "Lesen, Verstehen, Lernen, Schreiben"). Syllables are counted by their vowels. A
number, as any sign that stands for a word, is a word of one syllable.
"""

import re

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+(?:[.,]\d+)*")
_SENTENCE_ENDS = re.compile(r"[.!?:;](?=\s|$)")
_ENGLISH_SYLLABLE = re.compile(r"[aeiouy]+")
# An e at the end is silent but in "table", as in "-ed" but after d and t, and in "-es" but after a
# hiss. Some vowels beside each other are two syllables: trial, quiet, usual, going.
_ENGLISH_SILENT = re.compile(
    r"(?<![aeiouy])(?<![^aeiouy]l)e$|(?<![dt])ed$|(?<![cgsxz])(?<!ch)(?<!sh)es$"
)
_ENGLISH_APART = re.compile(r"i(?=a|et)|(?<=[sn])u(?=al)|[eo](?=ing)")
_GERMAN_SYLLABLE = re.compile(r"aa|ee|oo|ie|ei|ai|au|eu|äu|[aeiouyäöü]")


def words_of(text: str) -> list[str]:
    return _WORD.findall(text)


def syllables(word: str, language: str) -> int:
    if not word[0].isalpha():
        return 1
    parts = [part.lower() for part in re.split(r"[-’']", word) if part]
    return sum(_syllables(part, language) for part in parts)


def _syllables(word: str, language: str) -> int:
    if language == "de":
        return max(1, len(_GERMAN_SYLLABLE.findall(word)))
    heard = _ENGLISH_SILENT.sub("", word)
    return max(1, len(_ENGLISH_SYLLABLE.findall(_ENGLISH_APART.sub(r"\g<0>.", heard))))


def reading_grade(text: str, language: str) -> float:
    words = words_of(text)
    sentences = max(1, len(_SENTENCE_ENDS.findall(text.strip())))
    counts = [syllables(word, language) for word in words]
    per_sentence = len(words) / sentences
    if language == "en":
        return 0.39 * per_sentence + 11.8 * sum(counts) / len(words) - 15.59
    share = 100 / len(words)
    return (
        0.1935 * share * sum(count >= 3 for count in counts)
        + 0.1672 * per_sentence
        + 0.1297 * share * sum(len(word) > 6 for word in words)
        - 0.0327 * share * sum(count == 1 for count in counts)
        - 0.875
    )
