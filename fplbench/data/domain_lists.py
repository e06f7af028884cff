"""The two data sets of FedBN (Li et al., ICLR 2021) whose domains are folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fplbench.data.pickles import read_pickle
from fplbench.data.splits import (
    OFFICIAL,
    Contents,
    Entry,
    from_entries,
    listed,
    numbered,
    seeded,
    spaced,
    tree,
)
from fplbench.errors import UserError

PARTS = ("train", "test")
UNUSED = -1  # the label of a class that is left out


def read_domains(
    folder: Path, domains: Sequence[str], classes: Sequence[str], lists: Sequence[str] = ()
) -> Contents:
    """DOMAIN/CLASS/*, split as FedBN's DOMAIN_train.pkl and DOMAIN_test.pkl say, where they lie
    there; else as DOMAIN_train.txt and DOMAIN_test.txt in one of `lists` say; else by a seed."""
    labels, names = numbered(classes), [spaced(name) for name in classes]
    if all((folder / f"{d}_{part}.pkl").is_file() for d in domains for part in PARTS):
        parts = [
            [e for i, d in enumerate(domains) for e in _of_pickle(folder, d, part, i, labels)]
            for part in PARTS
        ]
        return from_entries(folder, names, parts[0], parts[1], OFFICIAL, "FedBN's lists", domains)
    for place in lists:
        if all((folder / place / f"{d}_{part}.txt").is_file() for d in domains for part in PARTS):
            parts = [
                [
                    e
                    for i, d in enumerate(domains)
                    for e in _of_text(folder / place / f"{d}_{part}.txt", d, i, labels)
                ]
                for part in PARTS
            ]
            return from_entries(
                folder, names, parts[0], parts[1], OFFICIAL, "official lists", domains
            )
    entries = [e for i, d in enumerate(domains) for e in tree(folder, d, labels, i)]
    return seeded(folder, names, entries, domains)


def _of_pickle(
    folder: Path, domain: str, part: str, index: int, labels: dict[str, int]
) -> list[Entry]:
    """Two arrays, of paths that begin at some folder above and of class names."""
    path = folder / f"{domain}_{part}.pkl"
    try:
        files, classes = read_pickle(path)
        return [
            Entry(_below(str(file), domain), labels[str(name)], index)
            for file, name in zip(files, classes, strict=True)
        ]
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not FedBN's list ({error}): unpack it again.") from error


def _of_text(path: Path, domain: str, index: int, labels: dict[str, int]) -> list[Entry]:
    """DOMAIN/CLASS/FILE LABEL a line; classes that are not used are left out."""

    def entry(line: str) -> Entry:
        file = _below(line.rpartition(" ")[0], domain)
        return Entry(file, labels.get(file.split("/")[1], UNUSED), index)

    return [found for found in listed(path, entry) if found.label != UNUSED]


def _below(file: str, domain: str) -> str:
    """The path from the domain's folder on."""
    steps = file.replace("\\", "/").split("/")
    if domain not in steps or ".." in steps:
        raise ValueError(f"{file!r} is not in the folder {domain}")
    return "/".join(steps[steps.index(domain) :])
