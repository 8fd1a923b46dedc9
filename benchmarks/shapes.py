"""Payloads that are costly to read, as large as they may be: each of one shape, for any size.

The bench of decoding, the test of how work grows and the fuzzer of ingest all take theirs here.
"""

from collections.abc import Callable, Iterator
from itertools import count

Shape = Callable[[int], bytes]
"""Makes a payload of at most so many bytes."""

NUMBER = b'"store":7,"seq":1'
_FRAME = (
    b'{"v":1,"store":7,"seq":1,"boot":1,"sid":"6f0c6f0c-0000-4000-8000-000000000001",'
    b'"kind":"%s","up":1,'
)
SAMPLES = _FRAME % b"samples" + b'"dt":1,"n":1,"c":{'
EVENT = _FRAME % b"event" + b'"event":{"name":"x","detail":{'


def among(head: bytes, one: bytes, end: bytes, between: bytes = b",") -> Shape:
    """`one`, as often as there is room, between `head` and `end`."""

    def shape(size: int) -> bytes:
        room = size - len(head) - len(end) + len(between)
        return head + between.join([one] * (room // (len(one) + len(between)))) + end

    return shape


def in_json(one: bytes) -> Shape:
    return among(SAMPLES + b'},"x":[', one, b"]}")


def in_cbor(one: bytes, head: bytes = b"\xa1\x61x\x9f", end: bytes = b"\xff") -> Shape:
    return among(head, one, end, b"")


def named(head: bytes, member: bytes, end: bytes, *, twice: str | None = None) -> Shape:
    """Members of as many different names as there is room for; the `first` or `last` twice."""

    def names(room: int) -> Iterator[bytes]:
        for number in count(4096):
            room -= len(member % number) + 1
            if room < 0:
                return
            yield member % number

    def shape(size: int) -> bytes:
        members = list(names(size - len(head) - len(end) - 20))
        members += [members[0]] if twice == "first" else members[-1:] if twice == "last" else []
        return head + b",".join(members) + end

    return shape


def nested(head: bytes, opening: bytes, closing: bytes, middle: bytes, end: bytes) -> Shape:
    def shape(size: int) -> bytes:
        depth = (size - len(head) - len(middle) - len(end)) // (len(opening) + len(closing))
        return head + opening * depth + middle + closing * depth + end

    return shape


def cbor_names(size: int) -> bytes:
    return b"\xbf" + b"".join(b"\x63%03x\x00" % number for number in range(size // 5 - 1)) + b"\xff"


_BIG = SAMPLES + b'"amplitude_ua":['
SHAPES: dict[str, Shape] = {
    "JSON, one name all over": among(b"{" + NUMBER + b",", b'"a":1', b"}"),
    "JSON, empty names": among(b"{", b'"":0', b"}"),
    "JSON, many names": named(b"{" + NUMBER + b",", b'"%x":0', b"}"),
    "JSON, many names and the first twice": named(b"{", b'"%x":0', b"}", twice="first"),
    "JSON, many names and the last twice": named(b"{", b'"%x":0', b"}", twice="last"),
    "JSON, many columns": named(SAMPLES, b'"c%x":[1]', b"}}"),
    "JSON, a column all over": among(SAMPLES, b'"c":[1]', b"}}"),
    "JSON, many details, the last twice": named(EVENT, b'"%x":0', b"}}}", twice="last"),
    "JSON, a detail all over": among(EVENT, b'"a":1', b"}}}"),
    "JSON, objects": in_json(b"{}"),
    "JSON, objects of one member": in_json(b'{"":0}'),
    "JSON, arrays": in_json(b"[]"),
    "JSON, arrays 800 deep": in_json(b"[" * 800 + b"]" * 800),
    "JSON, deep arrays": nested(SAMPLES + b'},"x":', b"[", b"]", b"", b"}"),
    "JSON, deep objects": nested(SAMPLES + b'},"x":', b'{"":', b"}", b"0", b"}"),
    "JSON, arrays that never end": among(SAMPLES + b'},"x":', b"[", b"", b""),
    "JSON, digits": in_json(b"0"),
    "JSON, fractions": in_json(b"0.1"),
    "JSON, powers": in_json(b"1e9"),
    "JSON, infinite powers": in_json(b"1e999999"),
    "JSON, the float that is hardest to read": in_json(b"2.2250738585072011e-308"),
    "JSON, floats of 800 digits": in_json(b"0." + b"1" * 800),
    "JSON, integers of 20 digits": in_json(b"9" * 20),
    "JSON, integers of 4,300 digits": in_json(b"9" * 4300),
    "JSON, readings of 20 digits": among(_BIG, b"9" * 20, b"]}}"),
    "JSON, readings of 4,300 digits": among(_BIG, b"9" * 4300, b"]}}"),
    "JSON, one integer": among(SAMPLES + b'},"x":', b"9", b"}", b""),
    "JSON, one float": among(SAMPLES + b'},"x":0.', b"1", b"}", b""),
    "JSON, strings": in_json(b'""'),
    "JSON, escapes": among(SAMPLES + b'},"x":"', b"\\u0001", b'"}', b""),
    "JSON, lone surrogates": in_json(b'"\\ud800"'),
    "JSON, a long name": among(SAMPLES + b'},"', b"\\u0001", b'":1}', b""),
    "JSON, spaces": among(SAMPLES + b"}", b" ", b"}", b""),
    "CBOR, zeros": in_cbor(b"\x00"),
    "CBOR, nulls": in_cbor(b"\xf6"),
    "CBOR, half floats": in_cbor(b"\xf9\x3e\x00"),
    "CBOR, simple values": in_cbor(b"\xf8\x20"),
    "CBOR, strings": in_cbor(b"\x60"),
    "CBOR, arrays": in_cbor(b"\x80"),
    "CBOR, maps": in_cbor(b"\xa0"),
    "CBOR, arrays without a length": in_cbor(b"\x9f\xff"),
    "CBOR, arrays 6 deep": in_cbor(b"\x81" * 5 + b"\x00"),
    "CBOR, deep arrays": in_cbor(b"\x9f", end=b""),
    "CBOR, many names": cbor_names,
    "CBOR, a name all over": in_cbor(b"\x61a\x00", b"\xbf"),
    "CBOR, keys of one hash": in_cbor(b"\x82\x20\x21\x00", b"\xbf"),
    "CBOR, integers for keys": in_cbor(b"\x1b\x40\x00\x00\x00\x00\x00\x00\x00\x00", b"\xbf"),
    "CBOR, text in pieces": in_cbor(b"\x61a", b"\xa1\x61x\x7f"),
    "CBOR, text in empty pieces": in_cbor(b"\x60", b"\xa1\x61x\x7f"),
    "CBOR, tags": in_cbor(b"\xc1\x00"),
    "CBOR, tags in tags": in_cbor(b"\xd8\x64"),
    "CBOR, a length that is not there": in_cbor(b"\x00", b"\xa1\x61x\x9a\x7f\xff\xff\xff"),
    "CBOR, lengths that are not there": in_cbor(b"\x99\xff\xff"),
    "CBOR, text that is no UTF-8": among(b"\xa1\x61x\x79\x3e\x80", b"\xff", b"", b""),
}
