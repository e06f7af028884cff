"""Published numbers beside ours: matched by what they are of, with what differs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command_line import call
from make_records import make_record, write_done

from fplbench.plugins import registry
from fplbench.records.record import Metric
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report import beside
from fplbench.report.beside import compare
from fplbench.report.published import Published, no_evidence, published, words
from fplbench.scenarios.domains import Domains
from fplbench.spec import Training

VIT = "ViT-B-16:openai"
ZHOU = {"split": "split_zhou_OxfordFlowers.json"}


METHODS = registry.methods().classes


def complete(method: str, changes: dict[str, object]) -> dict[str, object]:
    """A cell on Flowers102 with every setting that the method, scenario and training have."""
    sets = {k: v for k, v in changes.items() if k in METHODS[method].Config.model_fields}
    training = {k: v for k, v in changes.items() if k in Training.model_fields}
    return {
        "method": method,
        "metrics": accuracies(local=90.0),
        "settings": METHODS[method].Config(**sets).model_dump(mode="json"),
        "training": Training(**training).model_dump(mode="json"),  # type: ignore[arg-type]
    }


def accuracies(**means: float) -> dict[str, Metric]:
    return {name: Metric(mean=value) for name, value in means.items()}


def of(folder: Path, *cells: dict[str, object]) -> pd.DataFrame:
    """The tidy table of such cells."""
    for cell in cells:
        about = {"backbone": VIT, "dataset": "flowers102", "identity": ZHOU} | cell
        write_done(Store(folder), make_record(**about))  # type: ignore[arg-type]
    return load_results(folder)


def test_every_printed_number_is_read_and_its_table_is_described() -> None:
    numbers = published()
    assert len(numbers) == 436
    described = {(table.paper, table.table) for table in words().tables}
    assert {(one.paper, one.table) for one in numbers} == described
    (cifar,) = [n for n in numbers if n.method == "fedpgp" and n.dataset == "cifar100" and n.alpha]
    assert (cifar.scenario, cifar.arch, cifar.alpha, cifar.clients, cifar.participation) == (
        "personal",
        "ViT-B-16",
        0.5,
        100,
        0.1,
    )
    domains = {one.metric for one in numbers if one.dataset == "office_caltech10"}
    assert domains == {"domains", *(f"domain/{n}" for n in ("amazon", "caltech", "dslr", "webcam"))}


def test_a_cell_stands_beside_the_number_of_its_own_kind_alone(tmp_path: Path) -> None:
    results = of(
        tmp_path,
        {"method": "fedpgp", "metrics": accuracies(local=90.0, base=80.0, novel=70.0, cm=82.0)},
        {"method": "fedpgp", "seed": 1, "metrics": accuracies(local=92.0, base=80.0, novel=70.0)},
    )
    found = compare(results, {})
    printed = {
        n.metric: n.mean
        for n in published()
        if (n.method, n.dataset, n.scenario) == ("fedpgp", "flowers102", "base2novel")
    }
    assert {pair.metric: pair.theirs.mean for pair in found.pairs} == printed
    (local,) = [pair for pair in found.pairs if pair.metric == "local"]
    assert local.ours.mean == pytest.approx(91.0)
    assert local.difference == pytest.approx(91.0 - printed["local"])


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "tiny"},
        {"backbone": "ViT-B-16:random"},
        {"backbone": "ViT-B-16:laion2b_s34b_b88k"},
        {"backbone": "ViT-L-14:openai"},
        {"backbone": "RN50:openai"},
        {"dataset": "eurosat"},
        {"method": "zeroshot"},
    ],
    ids=lambda change: next(iter(change.values())),
)
def test_another_kind_of_cell_has_no_number_beside_it(
    change: dict[str, object], tmp_path: Path
) -> None:
    results = of(tmp_path, {"method": "fedpgp", "metrics": accuracies(local=90.0)} | change)
    assert not compare(results, {}).pairs
    said = beside.nothing(results)
    assert str(change.get("backbone", VIT)) in said
    assert "base2novel with ViT-B-16:openai" in said


def test_a_variant_is_told_from_the_plain_method(tmp_path: Path) -> None:
    cell = {
        "method": "promptfl",
        "dataset": "cifar10",
        "backbone": "RN50:openai",
        "scenario": "personal",
        "metrics": accuracies(local=80.0),
    }
    plain, prox = {"n_ctx": 16, "prox_mu": 0.0}, {"n_ctx": 16, "prox_mu": 0.5}
    results = of(tmp_path, cell | {"settings": plain}, cell | {"settings": prox})
    named = {pair.method: pair.theirs.named for pair in compare(results, {}).pairs}
    assert named == {
        "promptfl (prox_mu=0)": "promptfl",
        "promptfl (prox_mu=0.5)": "promptfl_fedprox",
    }


def notes_of(folder: Path, **cell: object) -> list[str]:
    found = compare(of(folder, cell), {})
    return [found.footnotes[number - 1] for number in found.pairs[0].notes]


def test_footnotes_say_in_what_the_protocols_differ(tmp_path: Path) -> None:
    notes = notes_of(
        tmp_path,
        method="fedpgp",
        metrics=accuracies(local=90.0),
        clients=5,
        identity={"split": "torchvision's"},
    )
    told = " | ".join(notes)
    assert "clients 10 (ours 5)" in told
    assert "local epochs" not in notes[0]
    assert "batch size 8 (ours 32)" in told
    assert "FedMGP's FedPGP has two prompts" in told
    assert "CoOp's split (split_zhou), ours is: torchvision's" in told


def test_what_agrees_has_no_footnote(tmp_path: Path) -> None:
    notes = notes_of(tmp_path, method="promptfl", metrics=accuracies(local=90.0))
    assert "rounds 10" not in " | ".join(notes)  # the record has 10 too
    assert not any("split" in note or "shots" in note or "clients" in note for note in notes)


def test_the_other_algorithms_of_dpfpl_are_named(tmp_path: Path) -> None:
    cell = {
        "scenario": "base2novel",
        "scenario_settings": {"clients": 10, "shots": 16},
        "metrics": accuracies(local=90.0, neighbor=40.0),
        "method": "fedpgp",
    }
    write_done(
        Store(tmp_path),
        make_record(backbone=VIT, dataset="food101", identity=ZHOU, **cell).model_copy(  # type: ignore[arg-type]
            update={"scenario": "pathological"}
        ),
    )
    found = compare(load_results(tmp_path), {})
    assert {pair.theirs.paper.split(",")[0] for pair in found.pairs} == {"DP-FPL"}
    told = " | ".join(found.footnotes)
    assert "DP-FPL's FedPGP is another algorithm" in told
    assert "shots all (ours 16)" in told
    assert "local epochs 1 (ours 2)" in told


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("promptfl", {"csc": True}),
        ("promptfl", {"prox_mu": 0.5}),
        ("promptfl", {"position": "front"}),
        ("fedpgp", {"mu": 0.0}),
        ("fedotp", {"ot": "Sinkhorn"}),
    ],
)
def test_another_variant_of_a_method_has_no_number_beside_it(
    method: str, change: dict[str, object], tmp_path: Path
) -> None:
    assert compare(of(tmp_path / "plain", complete(method, {})), {}).pairs
    assert not compare(of(tmp_path / "changed", complete(method, change)), {}).pairs


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"n_ctx": 4}, "n ctx 16 (ours 4)"),
        ({"rank": 2}, "rank 8 (ours 2)"),
        ({"tau": 1.0}, "tau 0.5 (ours 1)"),
        ({"mu": 2.0}, "mu 0.5 (ours 2)"),
        ({"ctx_init": "a photo of a"}, "ctx init none (ours a photo of a)"),
        ({"guidance": "template"}, "guidance placeholder (ours template)"),
        ({"views": 8}, "views new at every step (ours 8)"),
        ({"precision": "bf16"}, "precision fp16 (ours bf16)"),
        ({"momentum": 0.0}, "momentum 0.9 (ours 0)"),
        ({"weight_decay": 0.0}, "weight decay 0.0005 (ours 0)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_size_budget_or_precision_has_a_footnote(
    change: dict[str, object], note: str, tmp_path: Path
) -> None:
    found = compare(of(tmp_path, complete("fedpgp", change)), {})
    (pair,) = found.pairs
    assert any(note in found.footnotes[number - 1] for number in pair.notes)


def test_a_setting_that_nothing_is_known_of_is_named(tmp_path: Path) -> None:
    cell = complete("fedpgp", {})
    cell["settings"] = {**METHODS["fedpgp"].Config().model_dump(), "brand_new": 3}
    cell["training"] = {**Training().model_dump(mode="json"), "warmup": "linear"}
    found = compare(of(tmp_path, cell), {})
    unsaid = [note for note in found.footnotes if "not known here" in note]
    assert len(unsaid) == 1
    assert "brand new (ours 3)" in unsaid[0]
    assert "warmup (ours linear)" in unsaid[0]


def domains(folder: Path, method: str, **settings: object) -> beside.Comparison:
    cell = {
        "dataset": "domainnet",
        "scenario": "domains",
        "scenario_settings": Domains.Config(**settings).model_dump(mode="json"),
        "clients": 30,
        "metrics": accuracies(domains=90.0),
    }
    return compare(of(folder, complete(method, {}) | cell), {})


def test_a_cell_that_holds_a_domain_out_has_no_number_beside_it(tmp_path: Path) -> None:
    settings = {"clients_per_domain": 5}
    assert domains(tmp_path / "all", "promptfl", **settings).pairs
    assert not domains(tmp_path / "five", "promptfl", **settings, hold_out="sketch").pairs


@pytest.mark.parametrize("method", ["zeroshot", "promptfl"])
def test_numbers_of_a_table_at_chance_are_not_subtracted(method: str, tmp_path: Path) -> None:
    found = domains(tmp_path, method, clients_per_domain=5)
    (pair,) = found.pairs
    assert pair.difference is None
    assert "at chance" in pair.texts()
    (note,) = [text for text in found.footnotes if "at chance" in text]
    assert "9.18 to 10.25 %: below 1.5 times the chance among 10 classes" in note
    # Nothing was trained, so it does not matter how.
    assert any("participation" in text for text in found.footnotes) == (method != "zeroshot")


def test_chance_is_found_by_the_number_of_classes_that_compete() -> None:
    classes = registry.datasets().classes
    names = {one.dataset for one in published() if not one.dataset.startswith("average")}
    assert words().classes == {name: classes[name].classes for name in names}  # type: ignore[attr-defined]
    low = {(one.source, one.named) for one in published() if one.at_chance}
    assert low == {(f"pFedMoAP, table {number}", "zeroshot") for number in (3, 4)}
    tables = {one.source for one in published() if no_evidence(one)}
    assert tables == {f"pFedMoAP, table {number}" for number in (3, 4)}
    aircraft = [n for n in published() if (n.dataset, n.metric) == ("fgvc_aircraft", "novel")]
    assert {one.classes for one in aircraft} == {50}
    (worst,) = [one for one in aircraft if one.named == "fedtpg"]
    assert worst.mean == 4.5  # 2.25 times the chance among 50


def test_a_copied_row_is_not_given_the_protocol_of_the_table_it_stands_in(tmp_path: Path) -> None:
    cell = complete("pfedprompt", {}) | {"backbone": "RN50:openai", "scenario": "base2novel"}
    record = make_record(dataset="flowers102", identity=ZHOU, **cell)  # type: ignore[arg-type]
    write_done(Store(tmp_path), record.model_copy(update={"scenario": "pathological"}))
    found = compare(load_results(tmp_path), {})
    assert [pair.theirs.source for pair in found.pairs] == ["pFedMoAP, table 1"]
    told = " | ".join(found.footnotes)
    assert "copied from pFedPrompt's own table 1" in told
    assert "rounds (ours 25)" in told
    assert "rounds 10" not in told
    assert "pFedMoAP's code" not in told


def test_validation_numbers_are_not_compared(tmp_path: Path) -> None:
    record = make_record(method="fedpgp", backbone=VIT, dataset="flowers102")
    training = record.training | {"evaluate_on": "validation"}
    write_done(Store(tmp_path), record.model_copy(update={"training": training}))
    assert not compare(load_results(tmp_path), {}).pairs


def test_the_command_shows_writes_and_refuses(
    comparison: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    of(tmp_path, {"method": "fedpgp", "metrics": accuracies(local=90.0)})
    code, out, _ = call(["tables", str(tmp_path), "--published"], monkeypatch, capsys)
    assert code == 0
    (theirs,) = [n for n in published() if _is_fedmgps(n)]
    assert f"{90.0 - theirs.mean:+.2f}" in out
    assert "1. FedMGP" in out
    table = pd.read_csv(tmp_path / "tables" / "published.csv")
    assert table["published"].tolist() == [theirs.mean]
    assert "Context, not a target" in (tmp_path / "tables" / "published.md").read_text()

    code, _, err = call(["tables", str(comparison), "--published"], monkeypatch, capsys)
    assert (code, "No published number is of the same" in err) == (2, True)
    asked = ["tables", str(comparison), "--published", "--rows", "method"]
    code, _, err = call(asked, monkeypatch, capsys)
    assert (code, "a table of its own" in err) == (2, True)


def _is_fedmgps(one: Published) -> bool:
    wanted = ("fedpgp", "flowers102", "base2novel", "local")
    return (one.method, one.dataset, one.scenario, one.metric) == wanted
