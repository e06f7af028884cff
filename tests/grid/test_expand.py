"""From a request to cells, and everything that is refused on the way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from benches import workbench

from fplbench.errors import UserError
from fplbench.features.backbones import method_defaults, training_defaults
from fplbench.features.stock import Workbench
from fplbench.grid.expand import expand
from fplbench.grid.run import with_ids
from fplbench.plugins import registry
from fplbench.spec import PROTOCOL, Cell, Request

METHODS, DATASETS = registry.methods(), registry.datasets()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return workbench(tmp_path_factory.mktemp("cache"))


def cells(bench: Workbench, **fields: Any) -> list[Cell]:
    request = Request(**({"methods": ("promptfl",), "datasets": ("digits",)} | fields))
    return expand(request, bench)


def refusal(bench: Workbench, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        cells(bench, **fields)
    return str(caught.value)


def test_a_grid_has_a_cell_for_each_combination(bench: Workbench) -> None:
    found = cells(bench, methods=("coop", "promptfl"), seeds=(0, 1, 2))
    assert {(c.method, c.seed) for c in found} == {
        (m, s) for m in ("coop", "promptfl") for s in (0, 1, 2)
    }
    assert len(found) == 6
    assert {c.scenario for c in found} == {"personal"}


def test_every_setting_is_resolved_and_written_into_the_cell(bench: Workbench) -> None:
    (cell,) = cells(bench, methods=("fedpgp",))
    assert cell.settings["rank"] == 8
    assert cell.scenario_settings["alpha"] == 0.5
    assert cell.training.rounds == 25


def test_a_backbones_own_defaults_yield_to_what_the_user_says(bench: Workbench) -> None:
    """Those of the method's Config and of Training are CLIP's."""
    zeroshot, usual = cells(bench, methods=("zeroshot", "promptfl"))
    assert "n_ctx" not in zeroshot.settings
    assert usual.settings["n_ctx"] == method_defaults("tiny")["n_ctx"] != 16
    assert usual.training.lr_schedule == training_defaults("tiny")["lr_schedule"] != "constant"
    (asked,) = cells(bench, options={"lr_schedule": "constant"}, sets={"promptfl.n_ctx": 16})
    assert (asked.settings["n_ctx"], asked.training.lr_schedule) == (16, "constant")
    (large,) = cells(bench, backbones=("ViT-B-16:random",))
    assert (large.settings["n_ctx"], large.training.lr_schedule) == (16, "constant")


def test_flags_go_to_the_scenario_or_to_training(bench: Workbench) -> None:
    (cell,) = cells(bench, options={"clients": 4, "rounds": 3, "lr": 0.5})
    assert cell.scenario_settings["clients"] == 4
    assert (cell.training.rounds, cell.training.lr) == (3, 0.5)


def test_set_reaches_one_method_or_all(bench: Workbench) -> None:
    sets = {"n_ctx": 4, "fedpgp.mu": 2.0, "fedpgp.lr": 0.3}
    one, two = cells(bench, methods=("promptfl", "fedpgp"), sets=sets)
    assert (one.settings["n_ctx"], two.settings["n_ctx"]) == (4, 4)
    assert two.settings["mu"] == 2.0
    assert two.training.lr == 0.3
    assert one.training.lr != 0.3


def test_lists_are_swept_in_all_combinations(bench: Workbench) -> None:
    found = cells(
        bench,
        methods=("promptfl", "fedpgp"),
        options={"alpha": [0.1, 0.5], "rounds": 3},
        sets={"fedpgp.mu": [0.5, 1.0, 2.0]},
        seeds=(0, 1),
    )
    assert len(found) == len(set(map(str, found)))
    swept = [
        (c.seed, c.scenario_settings["alpha"], c.settings["mu"])
        for c in found[0:]
        if c.method == "fedpgp"
    ]
    assert set(swept) == {(s, a, m) for s in (0, 1) for a in (0.1, 0.5) for m in (0.5, 1.0, 2.0)}
    assert len(swept) == 12
    # promptfl has no mu: what is swept for another is no cell of its own.
    assert sum(c.method == "promptfl" for c in found) == 4


def test_several_scenarios_and_backbones_are_axes(bench: Workbench) -> None:
    found = cells(bench, scenarios=("personal", "iid"), backbones=("tiny",), options={"alpha": 0.1})
    assert [c.scenario for c in found] == ["personal", "iid"]


def test_combinations_that_cannot_be_are_all_refused_at_once(bench: Workbench) -> None:
    text = refusal(
        bench,
        methods=("promptfl", "fedpgp"),
        scenarios=("domains", "base2novel"),
        options={"clients": [30, 31]},
        sets={"n_ctx": ["many", 4], "fedpgp.rank": []},
    )
    assert "rank is an empty list" in text
    text = refusal(
        bench,
        methods=("promptfl", "fedpgp"),
        scenarios=("domains", "base2novel"),
        options={"clients": [30, 31]},
        sets={"n_ctx": ["many", 4]},
    )
    for wanted in ("digits, domains", "30 clients", "31 clients", "n_ctx='many'"):
        assert wanted in text


def test_hold_out_each_is_a_cell_for_each_domain(bench: Workbench) -> None:
    found = cells(bench, datasets=("shapes_domains",), options={"hold_out": "each"})
    domains = bench.data("shapes_domains").domains
    assert [c.scenario_settings["hold_out"] for c in found] == list(domains)


def test_all_mistakes_are_said_at_once(bench: Workbench) -> None:
    text = refusal(bench, methods=("promptfll", "fedpgpp"), datasets=("digit",))
    for wanted in ("did you mean 'promptfl'", "did you mean 'fedpgp'", "did you mean 'digits'"):
        assert wanted in text
    text = refusal(bench, options={"hold_out": "x"}, sets={"promptfl.mu": 1, "n_ctxx": 2})
    assert "hold_out" in text
    assert "no setting 'mu'" in text
    assert "did you mean 'n_ctx'" in text


def test_a_setting_of_the_wrong_kind_is_named(bench: Workbench) -> None:
    assert "n_ctx='many' is refused (method" in refusal(bench, sets={"n_ctx": "many"})
    said = refusal(bench, options={"rounds": 0})
    assert said == "rounds is 0, but must be at least 1 (training)."
    said = refusal(bench, strategies=("fedprox",), sets={"mu": -1})
    assert said == "mu is -1, but must be at least 0.0 (strategy fedprox)."


def test_a_split_is_tried_on_the_images_that_a_cell_trains_on(bench: Workbench) -> None:
    """With --validation a fifth of them is held out, which may be the fifth that was needed."""
    clients = len(bench.data("digits").train.labels) - 5
    options = {"clients": clients, "evaluate_on": "validation"}
    said = refusal(bench, scenarios=("iid",), options=options)
    assert "digits, iid, seed 0, validation images held out: " in said
    assert f"{clients} clients cannot share" in said


def test_new_clients_that_leave_nobody_to_train_are_refused_at_once(bench: Workbench) -> None:
    said = refusal(bench, scenarios=("iid",), options={"clients": [1, 10], "new_clients": 0.2})
    assert "new_clients 0.2 of 1 clients leaves nobody to train" in said


def test_settings_that_change_nothing_make_no_second_cell(bench: Workbench) -> None:
    """No id knows of the epochs of new clients where there are none."""
    found = cells(bench, scenarios=("iid",), options={"new_client_epochs": [1, 2]})
    assert len(with_ids(found, bench)) == 1


def test_set_reaches_the_scenario_as_a_flag_does(bench: Workbench) -> None:
    (flag,) = cells(bench, scenarios=("personal",), options={"alpha": 0.1})
    for key in ("alpha", "personal.alpha"):
        assert cells(bench, scenarios=("personal",), sets={key: 0.1}) == [flag]
    (cell,) = cells(bench, scenarios=("personal",), sets={"min_train": 5})
    assert cell.scenario_settings["min_train"] == 5
    swept = cells(bench, scenarios=("personal",), sets={"min_train": [5, 6]})
    assert [each.scenario_settings["min_train"] for each in swept] == [5, 6]
    both = cells(bench, scenarios=("personal", "iid"), sets={"iid.clients": 3})
    assert [each.scenario_settings["clients"] for each in both] == [10, 3]


def test_a_setting_of_a_scenario_that_is_not_run_is_refused(bench: Workbench) -> None:
    text = refusal(bench, scenarios=("iid",), sets={"min_train": 5, "personal.clients": 3})
    assert "no setting 'min_train'" in text
    assert "'personal' is not part of this run" in text
    said = refusal(bench, scenarios=("personal",), sets={"min_train": 0})
    assert said == "min_train is 0, but must be at least 1 (scenario personal)."


def test_a_method_outside_the_run_is_no_target_of_set(bench: Workbench) -> None:
    assert "fedpgp.mu" in refusal(bench, sets={"fedpgp.mu": 1})


def test_an_unknown_scenario_suggests_the_nearest(bench: Workbench) -> None:
    assert "did you mean 'personal'" in refusal(bench, scenarios=("personnal",))


def test_a_split_that_cannot_be_made_is_refused_before_anything_runs(bench: Workbench) -> None:
    text = refusal(bench, scenarios=("base2novel",), options={"clients": 30})
    assert "30 clients" in text
    assert "5" in text
    assert "domains" in refusal(bench, scenarios=("domains",))


def test_an_id_changes_with_whatever_decides_the_numbers(bench: Workbench) -> None:
    (cell,) = cells(bench)
    identity = {"data": "a", "weights": "b"}
    ids = {
        cell.id(identity),
        cell.id({"data": "a2", "weights": "b"}),
        cell.id({"data": "a", "weights": "b2"}),
        cells(bench, seeds=(1,))[0].id(identity),
        cells(bench, options={"lr": 0.7})[0].id(identity),
        cells(bench, options={"alpha": 0.1})[0].id(identity),
        cells(bench, sets={"n_ctx": 5})[0].id(identity),
    }
    assert len(ids) == 7
    assert cell.id(identity) == cells(bench)[0].id(identity)
    assert cell.id(identity).startswith("promptfl_digits_personal_tiny_s0_")


def test_a_path_in_the_backbones_name_makes_a_readable_folder(bench: Workbench) -> None:
    (cell,) = cells(bench)
    cell = cell.model_copy(update={"backbone": "ViT-B-16:/home/me/my clip.pt"})
    assert Path(cell.id({})).name == cell.id({})


@pytest.mark.parametrize(
    ("name", "sets", "why"),
    [
        ("pfedmoap", {"gate_dim": 4}, "ZeroDivisionError"),
        ("pfedmma", {"first": 2, "last": 1}, "ValueError"),
    ],
)
def test_settings_that_no_method_can_start_with_are_refused(
    bench: Workbench, name: str, sets: dict[str, int], why: str
) -> None:
    said = refusal(bench, methods=(name,), sets=sets)
    what = ", ".join(f"{key}={value}" for key, value in sets.items())
    assert said.startswith(f"{name} cannot start with {what} on tiny ({why}: ")
    assert len(said.splitlines()) == 1


def test_tf32_on_the_host_is_refused(bench: Workbench) -> None:
    assert "use fp32 or bf16" in refusal(bench, options={"precision": "tf32"})
    assert "precision='fp8'" in refusal(bench, options={"precision": "fp8"})
    (cell,) = cells(bench, options={"precision": "bf16"})
    assert cell.training.precision == "bf16"


def test_a_strategy_is_an_axis_and_its_settings_are_in_the_cell(bench: Workbench) -> None:
    found = cells(
        bench,
        methods=("coop", "promptfl"),
        strategies=("own", "fedprox"),
        sets={"fedprox.mu": [0.1, 0.2]},
    )
    assert [(c.named, c.strategy_settings.get("mu")) for c in found] == [
        ("coop", None),
        ("coop-fedprox", 0.1),
        ("promptfl", None),
        ("promptfl-fedprox", 0.1),
        ("coop-fedprox", 0.2),
        ("promptfl-fedprox", 0.2),
    ]


def test_a_methods_own_travel_has_the_id_it_had_before_there_were_strategies(
    bench: Workbench,
) -> None:
    (cell,) = cells(bench)
    fields = cell.model_dump(mode="json", exclude={"strategy", "strategy_settings"})
    off = ("nudge", "new_clients", "new_client_epochs", "evaluated_clients", "chosen_by")
    for name in off:  # off: in no id
        del fields["training"][name]
    whole = {"protocol": PROTOCOL, "cell": fields, "identity": {"data": "x"}}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert cell.id({"data": "x"}).endswith(hashlib.sha256(text.encode()).hexdigest()[:10])
    (other,) = cells(bench, strategies=("fedavg",))
    assert other.id({"data": "x"}).startswith("promptfl-fedavg_digits_personal")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"strategies": ("fedavgg",)}, "There is no strategy 'fedavgg'; did you mean 'fedavg'?"),
        (
            {"methods": ("zeroshot",), "strategies": ("fedavg",)},
            "zeroshot does not go with the strategy fedavg: nothing of it is trained.",
        ),
        (
            {"methods": ("fedotp",), "strategies": ("fedper",)},
            "fedotp does not go with the strategy fedper: it divides what is shared and what is "
            "private itself.",
        ),
        *(
            (
                {"strategies": (name,), "sets": {"promptfl.prox_mu": [0.0, 0.3]}},
                f"promptfl does not go with the strategy {name}: it needs ctx as received, and is "
                "not sent all of it.",
            )
            for name in ("local", "fedamp", "fedper")
        ),
        (
            {"methods": ("fedpgp",), "strategies": ("fedprox",), "sets": {"mu": 1}},
            "--set mu: a method and a strategy each have a setting 'mu': write METHOD.mu or "
            "STRATEGY.mu.",
        ),
    ],
)
def test_a_pair_that_cannot_be_is_refused(
    bench: Workbench, fields: dict[str, Any], sentence: str
) -> None:
    assert refusal(bench, **fields) == sentence


def test_a_methods_own_setting_beats_everybodys(bench: Workbench) -> None:
    sets = {"mu": 1, "fedpgp.mu": 2}
    (cell,) = cells(bench, methods=("fedpgp",), sets=sets)
    assert cell.settings["mu"] == 2
