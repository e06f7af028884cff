"""The command `exam`. No logic of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from fplbench.cli.consoles import out
from fplbench.cli.options import Plugins

LINE = "{outcome:<8}{name:<15}{promise}"


def exam(
    method: Annotated[str, typer.Argument(help="The method's name (list methods).")],
    plugins: Plugins = None,
) -> None:
    """Try whether a method keeps its contract; exit code 1 if it does not."""
    from fplbench.contract.exam import examine
    from fplbench.plugins import registry

    kind = registry.methods(plugins or []).get(method)
    variant, failed, tried = None, 0, 0
    for verdict in examine(kind):
        if verdict.candidate.variant != variant:
            variant = verdict.candidate.variant
            settings = ", ".join(f"{k}={v}" for k, v in kind.variants.get(variant, {}).items())
            _say(f"{method}, {f'{variant} ({settings})' if variant else 'defaults'}")
        check = verdict.check
        word = verdict.outcome.upper() if verdict.outcome == "failed" else verdict.outcome
        why = f": {verdict.why}" if verdict.why else ""
        _say(f"  {LINE.format(outcome=word, name=check.name, promise=check.promise)}{why}")
        failed += verdict.outcome == "failed"
        tried += verdict.outcome != "n/a"
    _say(f"{tried - failed} of {tried} checks passed.")
    raise typer.Exit(1 if failed else 0)


def _say(line: str) -> None:
    out.print(line, markup=False, soft_wrap=True)
