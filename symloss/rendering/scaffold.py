"""The text of a new definition, which builds as it stands."""

from __future__ import annotations

from symloss.rendering.module import ENVIRONMENT


def scaffold(name: str) -> str:
    """Return a definition called `name` for an author to change."""
    return ENVIRONMENT.get_template("definition.py.jinja").render(name=name, title=name.replace("_", " ").capitalize())
