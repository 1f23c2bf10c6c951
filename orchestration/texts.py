"""Texts that others wrote, as they are shown."""


def printable(text: str) -> str:
    """Replace by spaces what a terminal would act on, what ends a line, and what XML has no characters for."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def is_utf8(text: str) -> bool:
    """Say whether a text was decoded without bytes that are not UTF-8, which Python's `surrogateescape` keeps as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
