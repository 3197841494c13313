"""Mistakes in a definition are errors that name the file, the line and the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from symloss import catalogue
from symloss.language import DefinitionError, Reference

HEAD = '''from symloss.language import *
import sympy
R = Reference(r"""@book{k, author = {A}, title = {T}, year = {2000}}""")
n, c, d = Axis("n", "samples"), Axis("c", "classes"), Axis("d", "features")
i, k, f = n.index("i"), c.index("k"), d.index("f")
'''
BODY = """@loss(title="T", family="F", references={references}, per={per})
def my_loss(z: Expr = prediction({axes}symbol="z"), y: Expr = labels(n, into=c, symbol="y")) -> Expr:
    {doc}
    return {formula}
"""


def write(
    folder: Path, formula: str, *, references: str = "(R,)", axes: str = "n, c, ", doc: str = '"""Doc."""'
) -> Path:
    """Write a definition file and return its path."""
    path = folder / "my_loss.py"
    text = BODY.format(formula=formula, references=references, per="i", axes=axes, doc=doc)
    path.write_text(HEAD + text, encoding="utf-8")
    return path


MISTAKES = {
    "slot 1 ranges over Axis(c), got f over Axis(d)": ("z[i, f]", {}),
    "expected 2 slots (n, c), got 1": ("z[i]", {}),
    "slot 1 must be an index or a label, got 3": ("z[i, 3]", {}),
    "the index k is free; a sample has only i": ("z[i, k]", {}),
    "unknown symbol: name 'zeta' is not defined": ("zeta * z[i, y[i]]", {}),
    "unknown symbol q; declare it as an argument": ("sympy.Symbol('q') * z[i, y[i]]", {}),
    "a masked max must say what it is when the mask is empty": ("max_over(k, z[i, k], where=differs(k, y[i]))", {}),
    "neither the body": ("sum_over(f, z[i, y[i]])", {}),
    "must cite its source": ("z[i, y[i]]", {"references": "()"}),
    "needs a docstring": ("z[i, y[i]]", {"doc": "pass"}),
    "a reference needs a BibTeX entry": ("z[i, y[i]]", {"references": "(Reference('Smith 1999'),)"}),
    "a masked mean must say what it is when the mask is empty": ("mean_over(k, z[i, k], where=differs(k, y[i]))", {}),
    "softmax: slot 0 ranges over Axis(c), got i over Axis(n)": ("softmax(k, z[i, k], at=i)", {}),
    "expected a formula to be returned, got None": ("None", {}),
    "expected a formula to be returned, got z[i, y[i]] > 0": ("z[i, y[i]] > 0", {}),
    "has no author": ("z[i, y[i]]", {"references": "(Reference('@book{k, title = {T}, year = {2000}}'),)"}),
    "has no title": ("z[i, y[i]]", {"references": "(Reference('@book{k, author = {A}, year = {2000}}'),)"}),
    "has no year": ("z[i, y[i]]", {"references": "(Reference('@book{k, author = {A}, title = {T}}'),)"}),
}


DECORATOR, FORMULA = 6, 9  # lines of the file that `write` writes
OF_THE_WHOLE = {  # mistakes no single line of the body is to blame for, and those in the decorator itself
    "the index k is free; a sample has only i", "unknown symbol q; declare it as an argument", "must cite its source",
    "needs a docstring", "a reference needs a BibTeX entry", "has no year", "has no author", "has no title",
    "expected a formula to be returned, got None", "expected a formula to be returned, got z[i, y[i]] > 0",
}  # fmt: skip


@pytest.mark.parametrize("cause", MISTAKES)
def test_a_mistake_names_file_line_and_cause(cause: str, tmp_path: Path) -> None:
    formula, options = MISTAKES[cause]
    path = write(tmp_path, formula, **options)
    with pytest.raises(DefinitionError) as caught:
        catalogue.find(tmp_path)
    assert cause in str(caught.value)
    assert Path(caught.value.file).resolve() == path
    assert caught.value.line == (DECORATOR if cause in OF_THE_WHOLE else FORMULA)
    assert str(caught.value).startswith(f"{caught.value.file}:{caught.value.line}: ")


def test_an_argument_without_declaration_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "my_loss.py"
    path.write_text(HEAD + '@loss(title="T", family="F", references=(R,))\ndef my_loss(z): """D."""; return z\n')
    with pytest.raises(DefinitionError, match="the argument z needs a declaration such as") as caught:
        catalogue.find(tmp_path)
    assert (Path(caught.value.file).resolve(), caught.value.line) == (path, DECORATOR)


def test_a_docstring_of_blanks_is_none(tmp_path: Path) -> None:
    write(tmp_path, "z[i, y[i]]", doc='"""   """')
    with pytest.raises(DefinitionError, match="needs a docstring"):
        catalogue.find(tmp_path)


def test_a_default_outside_its_domain_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "my_loss.py"
    signature = "def my_loss(z=prediction(symbol='z'), *, m=parameter(-1, above(0), symbol='m')):"
    path.write_text(
        f'{HEAD}@loss(title="T", family="F", references=(R,))\n{signature}\n    """D."""\n    return m * z\n'
    )
    with pytest.raises(DefinitionError, match="the default -1 of m lies outside its domain, > 0") as caught:
        catalogue.find(tmp_path)
    assert (Path(caught.value.file).resolve(), caught.value.line) == (path, 7)


def test_a_citation_is_one_line_of_plain_text() -> None:
    entry = r"""@article{k,
  author = {Doll{\'a}r, Piotr
            and Sch{\"o}lkopf, Bernhard},
  title = {A Title over
           Two Lines of {TeX}}, journal = {J}, year = {2000},
}"""
    assert Reference(entry).citation == "Dollár, Piotr, Schölkopf, Bernhard (2000). A Title over Two Lines of TeX. J."


def test_a_syntax_error_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="holds no definition"):
        catalogue.find(tmp_path)
    (tmp_path / "bad.py").write_text("def (")
    with pytest.raises(DefinitionError, match=r"bad\.py:1: syntax error"):
        catalogue.find(tmp_path)


def test_a_sound_definition_is_found(tmp_path: Path) -> None:
    write(tmp_path, "logsumexp_over(k, z[i, k]) - z[i, y[i]]")
    assert list(catalogue.find(tmp_path)) == ["my_loss"]


def test_substitution_never_captures_a_bound_index(tmp_path: Path) -> None:
    """``nll[i, y[i]]`` must not reach into the logsumexp over the same letter k."""
    write(tmp_path, "define('nll', i, k)(logsumexp_over(k, z[i, k]) - z[i, k])[i, y[i]]")
    found = catalogue.find(tmp_path)["my_loss"]
    assert set(map(str, found.formula.inlined.args)) == {"logsumexp(z[i, k], over=k)", "-z[i, y[i]]"}
