"""Templates with delimiters that neither LaTeX nor Markdown uses."""

from __future__ import annotations

from collections.abc import Callable

import jinja2


def environment(**filters: Callable[..., str]) -> jinja2.Environment:
    """filters: what templates put values through, which escapes them too."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("fplbench.report"),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    found.filters.update(filters)
    return found
