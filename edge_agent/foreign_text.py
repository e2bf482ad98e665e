"""Foreign text: how is what somebody else has written shown in a log or on a terminal, without their writing there?"""

from __future__ import annotations


def safe(text: str) -> str:
    """Give the text on one line, with everything escaped that is no character to be seen.

    Line ends would forge lines of a log, escape sequences drive a terminal, and marks of direction make one name look
    like another; surrogates are what is left of bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def safe_lines(text: str) -> str:
    """The same for a text of several lines, of which all but the first are indented: none looks like a first one."""
    first, *others = [safe(line) for line in text.split("\n")]
    return "\n".join([first, *(line if line.startswith("  ") or not line else f"  {line}" for line in others)])
