"""From numbers of clients to those of a record: summaries and what derives from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fplbench.metrics.accuracy import Accuracy
from fplbench.plugins.measure import DEFAULT, Measure, metric
from fplbench.scenario import NEW, TUNED

# What the derived metrics are made of: other metrics, or all those with a prefix.
PARTS = {
    "hm": ("local", "base", "novel"),
    "hm_bn": ("base", "novel"),
    "cm": ("local", "base", "novel"),
}
AVERAGES = {"domains": "domain/", "global_domains": "global/"} | {
    f"{shared}{name}": f"{shared}{name}/"
    for shared in ("", "global_")
    for name in ("base", "novel", "transfer", "unseen")
}

# What tables call the metrics that scenarios share, in the order of columns; a scenario may say
# otherwise (Scenario.titles).
TITLES = {
    "local": "Local",
    "local_own": "Own",
    "base": "Base",
    "novel": "Novel",
    "all": "All",
    "neighbor": "Neighb.",
    "hm": "HM",
    "hm_bn": "HM b/n",
    "cm": "CM",
    "global": "Global",
    "global_novel": "Gl. nov.",
    "hold_out": "Held out",
    "global_hold_out": "Gl. held out",
    "domains": "Domains",
    "global_domains": "Gl. domains",
    "unseen": "Unseen",
    "global_unseen": "Gl. unseen",
}
_SHARED = "the shared prompt alone, on the test images of all clients"
MEANINGS = {
    "local_own": "as Local, but only the client's own classes can be answered",
    "neighbor": "classes of the other clients",
    "hm": "harmonic mean of Local, Base and Novel",
    "hm_bn": "harmonic mean of Base and Novel",
    "cm": "mean of Local and the harmonic mean of Base and Novel",
    "unseen": "mean over the domains that nobody trained on",
    **dict.fromkeys(("global", "global_novel", "global_hold_out", "global_domains"), _SHARED),
    "global_unseen": "the shared prompt alone, mean over the domains that nobody trained on",
}

Numbers = Mapping[str, NDArray[np.floating]]
"""Metric -> [C], nan where a client has no such number."""


@dataclass(frozen=True)
class Summary:
    """One metric over the clients that have it, in its measure's unit.

    std: population standard deviation (ddof=0), since the clients are all there are and not a
    sample of more. worst: of the client that is served worst. Both are None for a metric that
    derives from means, and for a measure across clients.
    count: how many clients stand behind it; of a derived metric, behind its weakest part.
    """

    mean: float
    std: float | None
    worst: float | None
    count: int


def summarise(
    per_client: Numbers, measures: Sequence[Measure] = (Accuracy(),)
) -> dict[str, Summary]:
    """Every metric that at least one client has, then those that derive from their means; one
    measure after the other.

    per_client: of `engine.evaluate`.

    Derived, each only where all its parts are there:
    hm: harmonic mean of local, base and novel; hm_bn: of base and novel;
    cm = (local + hm_bn) / 2, as in FedMGP (NeurIPS 2025), table 1, whose numbers follow from the
    printed means to 0.005; these three of accuracies alone;
    domains, global_domains: mean of the domains' numbers, each domain counting once, and so unseen
    and global_unseen of the domains that nobody trained on; of a measure across clients what it
    makes of the domains'. base, novel, transfer likewise of the data sets' where several are in
    one federation.
    """
    return {
        metric(question, name): one
        for name, found in by_measure(per_client, measures).items()
        for question, one in found.items()
    }


def by_measure(per_client: Numbers, measures: Sequence[Measure]) -> dict[str, dict[str, Summary]]:
    """`summarise`, as measure -> question -> its summary."""
    found = {}
    for measure in measures:
        own = numbers_of(per_client, measure, measures)
        summaries = {name: one for name, values in own.items() if (one := summary(values, measure))}
        found[measure.name] = summaries | _derived(summaries, own, measure)
    return found


def numbers_of(per_client: Numbers, measure: Measure, measures: Sequence[Measure]) -> Numbers:
    """Those of one of the measures, by question."""
    ends = {each.name: metric("", each.name) for each in measures if each.name != DEFAULT}
    if measure.name == DEFAULT:
        others = tuple(ends.values())
        return {name: each for name, each in per_client.items() if not name.endswith(others)}
    end = ends[measure.name]
    return {n.removesuffix(end): each for n, each in per_client.items() if n.endswith(end)}


def summary(values: NDArray[np.floating], measure: Measure) -> Summary | None:
    """Of one metric, [C]; None where no client has it."""
    present = values[~np.isnan(values)].astype(np.float64)
    if len(present) == 0:
        return None
    worst = present.max() if measure.lower_is_better else present.min()
    return Summary(
        mean=measure.over(present),
        std=None if measure.across else float(present.std(ddof=0)),
        worst=None if measure.across else float(worst),
        count=len(present),
    )


def leading(headline: Sequence[str], known: Collection[str]) -> str | None:
    """The headline metric that sums up the others, or else the first that is known."""
    there = [name for name in headline if name in known]
    return "cm" if "cm" in there else next(iter(there), None)


def harmonic_mean(*parts: float) -> float:
    """Of numbers that are not negative; 0 as soon as one of them is, its limit."""
    if any(part < 0 for part in parts):
        raise ValueError(f"a harmonic mean of accuracies cannot take {min(parts)}")
    return 0.0 if 0 in parts else len(parts) / sum(1 / part for part in parts)


def not_derivable(missing: Mapping[str, str]) -> dict[str, str]:
    """The derived metrics that lack a part, each with that part's reason.

    missing: metric that was asked for -> why it means nothing for the method.
    """
    found: dict[str, str] = {}
    for part, reason in missing.items():
        names = [name for name, parts in PARTS.items() if part in parts]
        names += [name for name, prefix in AVERAGES.items() if part.startswith(prefix)]
        found |= dict.fromkeys(names, reason)
    return found


def _derived(
    summaries: Mapping[str, Summary], asked: Numbers, measure: Measure
) -> dict[str, Summary]:
    """What derives from the clients' means, and likewise from those of new clients."""
    found: dict[str, Summary] = {}
    for kind in ("", NEW, TUNED):
        own = {n.removeprefix(kind): one for n, one in summaries.items() if n.startswith(kind)}
        questions = [name.removeprefix(kind) for name in asked if name.startswith(kind)]
        made = _of_domains(own, questions, measure)
        made |= _of_parts(own | made) if measure.name == DEFAULT else {}
        found |= {f"{kind}{name}": one for name, one in made.items()}
    return found


def _of_parts(summaries: Mapping[str, Summary]) -> dict[str, Summary]:
    found: dict[str, Summary] = {}
    for name in ("hm", "hm_bn"):
        if all(part in summaries for part in PARTS[name]):
            parts = [summaries[part] for part in PARTS[name]]
            found[name] = _together(harmonic_mean(*(part.mean for part in parts)), parts)
    if "local" in summaries and "hm_bn" in found:
        parts = [summaries["local"], found["hm_bn"]]
        found["cm"] = _together(sum(part.mean for part in parts) / 2, parts)
    return found


def _of_domains(
    summaries: Mapping[str, Summary], questions: Sequence[str], measure: Measure
) -> dict[str, Summary]:
    """A domain that was asked but that no client answered leaves no average."""
    found = {}
    for name, prefix in AVERAGES.items():
        domains = [question for question in questions if question.startswith(prefix)]
        if domains and all(each in summaries for each in domains):
            parts = [summaries[each] for each in domains]
            means = [part.mean for part in parts]
            value = measure.over(np.array(means)) if measure.across else sum(means) / len(means)
            found[name] = _together(value, parts)
    return found


def _together(value: float, parts: Sequence[Summary]) -> Summary:
    return Summary(value, None, None, min(part.count for part in parts))
