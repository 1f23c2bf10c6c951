"""Texts that others wrote, as they are shown."""


def printable(text: str) -> str:
    """Replace by spaces what a terminal would act on, what ends a line, and what XML has no characters for."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
