"""The stages, in order; reading this file is reading the table of contents.

===========  ==========================================  ===============================================
stage        takes                                       gives
===========  ==========================================  ===============================================
find         a folder                                    definitions: mathematics in SymPy, checked
hoist        a definition                                a program: one statement for each reduction
lift         a program                                   the same in atoms that neither overflow nor cancel
gradient     a program                                   with the adjoint sweep's gradients
hessian      a program                                   with exact diagonals, from sensitivities
tangent      a program                                   with Hessian-vector products
fold         a program                                   one stable expression for each output
lower        a program                                   loop nests with named scalars, and their cost
render       loop nests, program                         a Numba module, LaTeX, a record
verify       definition and compiled module              evidence (symloss/verifying.py)
docs         records, evidence, modules                  site and book
===========  ==========================================  ===============================================
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import keyword
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from symloss import catalogue, load
from symloss.calculus.adjoint import gradient
from symloss.calculus.sensitivity import hessian_diagonal
from symloss.calculus.tangent import slope, tangent
from symloss.elementary.formats import FLOAT32
from symloss.language import atoms
from symloss.language.axes import Axis
from symloss.language.declarations import GENERAL
from symloss.language.definition import Definition
from symloss.language.errors import DefinitionError
from symloss.lowering.cost import cost
from symloss.lowering.kernels import SHORT, definition_axes, lower
from symloss.lowering.nodes import Blocks, Kernel
from symloss.lowering.phases import REST, SUMS
from symloss.program.hoisting import hoist
from symloss.program.statement import Program
from symloss.rendering.array_module import render_arrays
from symloss.rendering.module import render_module
from symloss.rendering.pair_module import render_pairs
from symloss.rendering.record import Derivation, make_record, render_tex
from symloss.rendering.scaffold import scaffold
from symloss.site.build import DocsResult, build_site
from symloss.stability import careful, centring, expansion, extrema, quotients, rules, sides
from symloss.stability.careful import carefully
from symloss.stability.centring import centred
from symloss.stability.quotients import whole_quotients
from symloss.stability.rules import Step
from symloss.stability.sides import by_sides
from symloss.stability.stabilise import fold_outputs, lift, split_cases
from symloss.verification.evidence import file_hash, stale
from symloss.verification.steps import rule_holds, slope_holds
from symloss.verification.values import certified

ROOT = Path(__file__).resolve().parent.parent
OWN_OUTPUT, OWN_SITE = ROOT / "generated", ROOT / "docs" / "_build"

Progress = Callable[[str, int, int], None]


class UnknownLoss(Exception):
    """A name that no definition has."""


class StaleOutput(Exception):
    """Generated files that are not what the definitions give."""


@dataclass(frozen=True)
class Derived:
    """Everything derived from one definition, before it is printed."""

    definition: Definition
    lifted: Program
    program: Program
    kernels: tuple[Kernel, ...]
    fast: tuple[Kernel, ...]
    pairs: tuple[Kernel, ...]
    arrays: tuple[Program, Program]
    trace: tuple[Step, ...]
    digest: str
    lifting: int
    variants: tuple[Derived, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What generating one loss did."""

    name: str
    files: tuple[Path, ...]
    changed: tuple[Path, ...]
    diff: str
    seconds: float


def derive(definition: Definition) -> Derived:
    """Take a definition through every stage up to loop nests."""
    lifted = lift(definition, hoist(definition))
    targets = _targets(definition)
    program = tangent(_differentiated(definition, lifted.program), targets)
    folded = fold_outputs(definition, program)
    stable = whole_quotients(definition, by_sides(centred(carefully(definition, folded.program))))
    kernels = lower(definition, stable, wide=True)
    trace = tuple(dict.fromkeys(lifted.trace + folded.trace))
    plain = whole_quotients(definition, by_sides(centred(folded.program)))
    normed = definition.separable and any(s.op == "norm" for s in plain.statements)
    alike = plain == stable and not normed and not definition.elementwise and not _has_blocks(kernels)
    fast = kernels if alike else lower(definition, plain, narrow=True)
    pairs = lower(definition, plain) if normed else fast
    sloped = fold_outputs(definition, slope(lifted.program, targets)).program
    arrays = plain, whole_quotients(definition, centred(sloped))
    variants = tuple(map(derive, definition.variants))
    digest = digest_of(definition)
    return Derived(
        definition, lifted.program, folded.program, kernels, fast, pairs, arrays, trace, digest, len(lifted.trace),
        variants,
    )  # fmt: skip


def _has_blocks(kernels: Iterable[Kernel]) -> bool:
    """Tell whether any kernel multiplies matrices, which it does by blocks of rows."""
    return any(isinstance(node, Blocks) for kernel in kernels for node in kernel.body)


def _targets(definition: Definition) -> dict[str, tuple[Axis, ...]]:
    """Return what a loss is differentiated in, with its axes."""
    targets = {a.name: a.axes or definition_axes(definition) for a in definition.differentiable}
    return targets | {a.name: () for a in definition.continuous}


def _differentiated(definition: Definition, lifted: Program) -> Program:
    """Return a program with gradients and Hessian diagonals."""
    program = gradient(lifted, _targets(definition))
    program = split_cases(fold_outputs(definition, program).program)  # each case of a gradient in its stable form
    return hessian_diagonal(program)


def derivatives(definition: Definition) -> list[tuple[Definition, Program]]:
    """Return each variant of a loss with its gradients and Hessian diagonals, one stable expression for each."""
    found = []
    for written in (definition, *definition.variants):
        program = _differentiated(written, lift(written, hoist(written)).program)
        found.append((written, fold_outputs(written, program).program))
    return found


def digest_of(definition: Definition) -> str:
    """Return the hash of a definition's text."""
    return hashlib.sha256(definition.source.encode()).hexdigest()[:16]


def rules_digest() -> str:
    """Return the hash of the rule table, the other passes that make a program stable, and the atoms."""
    text = "".join(
        inspect.getsource(module) for module in (rules, expansion, extrema, careful, centring, quotients, sides, atoms)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _variant(derived: Derived, names: Iterable[str]) -> Derived:
    """Return the variant that is like a definition but for some parameters, which take any value."""
    wanted = dict(derived.definition.choice) | dict.fromkeys(names, GENERAL)
    return next((d for d in derived.variants if dict(d.definition.choice) == wanted), derived)


def _shown(derived: Derived) -> Derived:
    """Return what records show: a parameter whose default alone is special is there, not switched off."""
    return _variant(derived, [a.name for a in derived.definition.parameters if a.choices == (a.default,)])


def _in_special(shown: Derived, derived: Derived) -> dict[str, dict[str, Any]]:
    """Return gradients and Hessians in the parameters that have a special value in what is shown: of any value."""
    found: dict[str, dict[str, Any]] = {"gradient": {}, "hessian": {}}
    for name, value in shown.definition.choice:
        parameter = next((a for a in shown.definition.continuous if a.name == name), None)
        if parameter is not None and value != GENERAL:
            record = _record(_variant(derived, [name]), {}, checked=False)  # its steps are not shown
            for kind, entries in found.items():
                entries |= {entry["wrt"]: entry for entry in record[kind] if entry["wrt"] == name}
    return found


def _record(derived: Derived, costs: dict[str, str], *, checked: bool = True) -> dict[str, Any]:
    """Return the record of a derivation, each step of which is checked, unless nobody sees it."""
    definition = derived.definition
    weights = frozenset(s.name for s in derived.program.statements if s.op == "softmax")
    steps = Derivation(
        derived.lifted, derived.trace, derived.lifting,
        lambda before, after: rule_holds(definition, before, after, weights) if checked else 0,
        lambda line, read, partial: slope_holds(definition, line, read, partial, weights) if checked else 0,
    )  # fmt: skip
    return make_record(definition, derived.program, steps, costs, derived.digest)


def render(derived: Derived) -> dict[str, str]:
    """Return the generated files of one loss by their path in the output folder."""
    definition, name = derived.definition, derived.definition.name
    costs = {k.name: str(cost(k)) for k in derived.kernels if not k.name.endswith((SHORT, SUMS, REST))}
    shown = _shown(derived)
    record = _record(shown, costs)
    record["values"] = certified(definition)
    for kind, entries in _in_special(shown, derived).items():
        record[kind] = [entries.get(entry["wrt"], entry) for entry in record[kind]]
    everything = (derived, *derived.variants)
    variants = tuple((d.definition, d.kernels) for d in everything)
    fast = tuple((d.definition, d.fast) for d in everything)
    arrays = tuple((d.definition, *d.arrays) for d in everything)
    formula = str(shown.definition.formula)
    libraries = render_arrays(definition, arrays, formula, derived.digest)
    pairs = {}
    if not definition.elementwise:
        paired = tuple((d.definition, d.pairs) for d in everything)
        pairs[f"pairs/{name}.py"] = render_pairs(definition, paired, formula, derived.digest)
    return {
        f"{name}.py": render_module(definition, variants, formula, derived.digest),
        f"fast/{name}.py": render_module(definition, fast, formula, derived.digest, FLOAT32),
        **pairs,
        **{f"{library}/{name}.py": text for library, text in libraries.items()},
        f"latex/{name}.tex": render_tex(definition, record),
        f"records/{name}.json": json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
    }


def _render_one(name: str, definitions: Path | None) -> tuple[dict[str, str], float]:
    """Return the files of one loss, and the seconds it took."""
    start = time.perf_counter()
    (definition,) = select((name,), definitions)
    return render(derive(definition)), time.perf_counter() - start


def _all_rendered(chosen: Sequence[Definition], definitions: Path | None) -> Iterator[tuple[dict[str, str], float]]:
    """Yield the files of each loss in order, derived in as many processes as there are cores."""
    if len(chosen) < 4:  # processes take longer to start
        yield from (_render_one(d.name, definitions) for d in chosen)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield from pool.map(_render_one, [d.name for d in chosen], [definitions] * len(chosen))


def select(names: Sequence[str], folder: Path | None) -> tuple[Definition, ...]:
    """Return the definitions called `names`, or all of a folder."""
    found = catalogue.find(folder)
    for name in names:
        if name not in found:
            message = f"no loss {name!r}; there are {', '.join(found)}"
            raise UnknownLoss(message)
    return tuple(found[name] for name in (names or found))


def hashes_of(definition: Definition, output: Path) -> dict[str, str]:
    """Return the hashes that evidence must carry to speak of this definition and its kernel."""
    files = {"kernel": output, "fast": output / "fast"} | (
        {} if definition.elementwise else {"pairs": output / "pairs"}
    )
    hashes = {kind: file_hash(folder / f"{definition.name}.py") for kind, folder in files.items()}
    return {"definition": digest_of(definition), "rules": rules_digest(), **hashes}


def docs(definitions: Path | None, output: Path | None, site: Path | None, *, progress: Progress) -> DocsResult:
    """Build site and book from records and evidence; missing or stale evidence is an error.

    Raises
    ------
    StaleOutput
        Where a loss has no fresh evidence.
    """
    folder = output or OWN_OUTPUT
    chosen = select((), definitions)
    for definition in chosen:
        why = stale(folder / "evidence" / f"{definition.name}.json", hashes_of(definition, folder))
        if why:
            message = f"{definition.name}: {why}; run symloss verify {definition.name}"
            raise StaleOutput(message)
    where = site or (OWN_SITE if output is None else folder / "site")
    losses = partial(load, package=None if output is None else folder)
    return build_site(
        folder, tuple(d.name for d in chosen), where, losses=losses, progress=progress,
        programs=lambda name: program_of(select((name,), definitions)[0]),
    )  # fmt: skip


def program_of(definition: Definition) -> Program:
    """Return the program of a definition's value, in atoms."""
    return lift(definition, hoist(definition)).program


def show(name: str, definitions: Path | None) -> dict[str, Any]:
    """Return the record of one loss, derived now."""
    (definition,) = select((name,), definitions)
    record: dict[str, Any] = json.loads(render(derive(definition))[f"records/{name}.json"])
    return record


def new(name: str, definitions: Path | None) -> Path:
    """Write a definition that builds as it stands, and return its file.

    Raises
    ------
    DefinitionError
        Where the name is no identifier, begins with an underscore or is a word of Python's, or the file exists.
    """
    folder = definitions or catalogue.OWN
    path = folder / f"{name}.py"
    if not name.isidentifier():
        raise DefinitionError(str(path), 1, f"{name!r} is not a name: use letters, digits and underscores")
    if name.startswith("_"):  # neither the catalogue nor the loader takes such a file for a loss
        raise DefinitionError(str(path), 1, f"{name!r} begins with an underscore; begin the name with a letter")
    if keyword.iskeyword(name):
        raise DefinitionError(str(path), 1, f"{name!r} is a word of Python's; choose another name")
    if path.exists():
        raise DefinitionError(str(path), 1, "the file exists; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(scaffold(name), encoding="utf-8")
    return path


def generate(
    names: Sequence[str], definitions: Path | None, output: Path | None, *, check: bool, progress: Progress
) -> tuple[Outcome, ...]:
    """Derive and print the losses called `names`, or all.

    Parameters
    ----------
    names : sequence of str
        Losses; all where it is empty.
    definitions, output : Path, optional
        The folders to read and write; this project's own where they are left out.
    check : bool
        Write nothing; report what would change.
    progress : callable
        Called with a loss, how many are done and how many there are.

    Returns
    -------
    tuple of Outcome
        One for each loss, with the files whose text changed and a diff.
    """
    folder = output or OWN_OUTPUT
    chosen = select(names, definitions)
    outcomes = []
    for number, (definition, (files, seconds)) in enumerate(
        zip(chosen, _all_rendered(chosen, definitions), strict=True)
    ):
        progress(definition.name, number, len(chosen))
        changed, diff = [], ""
        for relative, text in files.items():
            path = folder / relative
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            if old != text:
                changed.append(path)
                lines = difflib.unified_diff(
                    old.splitlines(True), text.splitlines(True), f"a/{relative}", f"b/{relative}"
                )
                diff += "".join(lines)
                if not check:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
        paths = tuple(folder / f for f in files)
        outcomes.append(Outcome(definition.name, paths, tuple(changed), diff, seconds))
    progress("", len(chosen), len(chosen))
    return tuple(outcomes)
