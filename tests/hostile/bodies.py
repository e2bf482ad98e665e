"""Request bodies that are expensive to parse."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

JSON_BOMBS: dict[str, Callable[[], bytes]] = {
    "small keys": lambda: b"{" + b",".join(b'"%07d":0' % number for number in range(1_500_000)) + b"}",
    "small keys beside a picture": lambda: (
        b'{"image":"",' + b",".join(b'"%07d":0' % number for number in range(1_500_000)) + b"}"
    ),
    "empty lists": lambda: b'{"image":[' + b"[]," * 6_000_000 + b"[]]}",
    "numbers": lambda: b"[" + b"1," * 9_000_000 + b"1]",
    "escapes": lambda: b'{"image":"' + rb"\u00e9" * 3_000_000 + b'"}',
    "nested": lambda: b"[" * 10_000_000,
    "nested beside a picture": lambda: b'{"image":"QQ==","a":' + b"[" * 60_000,
    "one number": lambda: b"1" * 15_000_000,
    "many pictures": lambda: b"{" + b",".join([b'"image":"QQ=="'] * 1_000_000) + b"}",
}
"""By name; built on demand."""
