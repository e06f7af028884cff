"""Names from plug-ins, data sets and error messages, safe in LaTeX and in Markdown."""

from __future__ import annotations

import functools
import re
import unicodedata

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
} | {
    letter: rf"$\{unicodedata.name(letter).rsplit(' ', 1)[-1].lower()}$"
    for letter in "αβγδεζηθκλμνξπρστφχψω"
}
_LATEX["λ"] = r"$\lambda$"  # Unicode spells it lamda
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def latex(text: object) -> str:
    """One line of text; a letter beyond Latin and Greek stays, and then pdflatex will not do
    (`beyond_pdflatex`); another character becomes its base, its number, or ?."""
    line = " ".join(str(text).split())
    escaped = "".join(_LATEX.get(letter) or _latin(letter) for letter in line)
    return re.sub("-(?=-)", "-{}", escaped)  # two would be one longer dash


@functools.cache
def _latin(letter: str) -> str:
    if letter.isprintable() and ord(letter) < 0x180 and not 0x7F <= ord(letter) < 0xC0:
        return letter
    base = unicodedata.normalize("NFKD", letter).replace("\u2044", "/")  # the stroke of a fraction
    base = base.encode("ascii", "ignore").decode()
    plain = "".join(_LATEX.get(part, part) for part in base if part.isprintable())
    kind = unicodedata.category(letter)[0]
    return plain or (letter if kind in "LMN" else "?" if kind in "CZ" else f"U+{ord(letter):04X}")


# Latin letters that LaTeX's old encoding (OT1), which a document has unless it says otherwise, has
# no sign for.
_LACKING = frozenset("ÐðÞþĐđĄąĘęĮįŲųŊŋĦħŦŧĸſŉ")


def beyond_pdflatex(text: str) -> bool:
    """Whether a text of LaTeX has letters that lualatex or xelatex alone can set."""
    return any(ord(letter) >= 0x180 or letter in _LACKING for letter in text)


def markdown(text: object) -> str:
    """One line of text in which nothing is markup, also within a table."""
    line = " ".join(str(text).split()).replace("&", "&amp;")
    return _MARKDOWN.sub(r"\\\1", line).replace("\\<", "&lt;")


def comment(text: object) -> str:
    """One line of a comment of LaTeX or HTML, which nothing in it ends."""
    line = " ".join(str(text).splitlines())
    return "".join(letter if letter.isprintable() else "?" for letter in line).replace(
        "-->", "-- >"
    )
