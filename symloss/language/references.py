"""Citations: a BibTeX entry, and the line of text made from it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from symloss.language.errors import fail

_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303"}


def _plain(text: str) -> str:
    """Return a BibTeX value as plain text: accents composed, braces and quotes gone, on one line."""
    accented = re.sub(
        r"\\(['`^\"~])\s*\{?([A-Za-z])\}?",
        lambda found: unicodedata.normalize("NFC", found.group(2) + _ACCENTS[found.group(1)]),
        text,
    )
    return " ".join(re.sub(r"[{}\"]", "", accented).split())


@dataclass(frozen=True)
class Reference:
    """A source of a formula.

    Parameters
    ----------
    bibtex : str
        A complete BibTeX entry with author, title and year.
    url : str
        Where it can be read.
    """

    bibtex: str
    url: str = ""

    def __post_init__(self) -> None:
        """Check that the entry has a key, an author, a title and a year."""
        if not re.match(r"\s*@\w+\{[^,\s]+,", self.bibtex):
            fail(f"a reference needs a BibTeX entry such as '@article{{key, ...}}', not {self.bibtex.strip()[:40]!r}")
        for name in ("author", "title", "year"):
            if not self.field(name):
                fail(f"the BibTeX entry {self.key!r} has no {name}")

    @property
    def key(self) -> str:
        """The entry's citation key."""
        found = re.match(r"\s*@\w+\{([^,\s]+),", self.bibtex)
        return found.group(1) if found else ""

    def field(self, name: str) -> str:
        """Return a field of the entry without its braces, or an empty string."""
        found = re.search(rf"\b{name}\s*=\s*(\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}|\"[^\"]*\"|\d+)", self.bibtex)
        return _plain(found.group(1)) if found else ""

    @property
    def citation(self) -> str:
        """The reference as one line of text."""
        authors = self.field("author").replace(" and ", ", ")
        venue = next((v for v in map(self.field, ("journal", "booktitle", "publisher", "howpublished")) if v), "")
        return f"{authors} ({self.field('year')}). {self.field('title')}." + (f" {venue}." if venue else "")
