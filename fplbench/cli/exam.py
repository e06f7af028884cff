"""`fplbench exam`: a method or strategy held against its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fplbench.cli.consoles import out
from fplbench.cli.options import Plugins
from fplbench.errors import UserError
from fplbench.plugins.base import suggestion

if TYPE_CHECKING:
    from fplbench.contract.room import Candidate

LINE = "{outcome:<8}{name:<15}{promise}"


def exam(
    name: Annotated[
        str, typer.Argument(help="A method's or strategy's name (list methods, list strategies).")
    ],
    plugins: Plugins = None,
) -> None:
    """Try whether a method or strategy keeps its contract; exit code 1 if it does not."""
    from fplbench.contract.exam import examine
    from fplbench.plugins import registry
    from fplbench.plugins.base import chosen

    strategies, methods = registry.strategies(plugins or []), registry.methods(plugins or [])
    for broken in (*strategies.broken, *methods.broken):
        if broken.name == name:
            raise UserError(f"{name!r} ({broken.origin}) cannot be used: {broken.error}")
    strategy, method = chosen(strategies.classes, name), chosen(methods.classes, name)
    kind = strategy or method
    if kind is None:
        hint = suggestion(name, [*strategies.classes, *methods.classes])
        every = (*strategies.broken, *methods.broken)
        failed = dict.fromkeys(f"{each.origin}: {each.error}" for each in every)
        lost = f" (Not loaded: {'; '.join(failed)})" if failed else ""
        raise UserError(f"There is no method or strategy {name!r}; {hint}{lost}")
    candidate, broke, tried = None, 0, 0
    for verdict in examine(kind):
        if verdict.candidate != candidate:
            candidate = verdict.candidate
            _say(f"{name}, {_settings(candidate)}")
        check = verdict.check
        word = verdict.outcome.upper() if verdict.outcome == "failed" else verdict.outcome
        why = f": {verdict.why}" if verdict.why else ""
        _say(f"  {LINE.format(outcome=word, name=check.name, promise=check.promise)}{why}")
        broke += verdict.outcome == "failed"
        tried += verdict.outcome != "n/a"
    _say(f"{tried - broke} of {tried} checks passed.")
    raise typer.Exit(1 if broke else 0)


def _settings(candidate: Candidate) -> str:
    """Which settings are tried, and with what learner."""
    settings = candidate.kind.variants.get(candidate.variant, {})
    listed = ", ".join(f"{key}={value}" for key, value in settings.items())
    words = f"{candidate.variant} ({listed})" if candidate.variant else "defaults"
    return words if candidate.learner is None else f"{words}, of {candidate.learner.title}"


def _say(line: str) -> None:
    out.print(line, markup=False, soft_wrap=True)
