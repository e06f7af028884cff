"""The first hundred test images of the digits, for methods that send each through the tower."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from fplbench.dataset import Data, Split
from fplbench.features.stock import Workbench
from fplbench.plugins import registry

FEW = 100
Digits = registry.datasets().get("digits")


class FewDigits(Digits):  # type: ignore[misc, valid-type]
    name: ClassVar[str] = "few_digits"

    def load(self, root: Path | None, cache: Path) -> Data:
        whole = super().load(root, cache)
        test = Split(whole.test.images[:FEW], whole.test.labels[:FEW])
        return replace(whole, test=test, fingerprint=f"{whole.fingerprint} {FEW}")


def with_few_digits(bench: Workbench) -> Workbench:
    bench.datasets.classes[FewDigits.name] = FewDigits
    return bench
