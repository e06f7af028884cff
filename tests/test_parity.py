"""The published code's numbers, through the engine's own steps.

Each case of the golden format (tests/golden/README.md) is placed as one of three clients: the two
beside it are random, have more images, and must not show in its numbers. FPLBENCH_GOLDEN names
another folder of cases. A case that no adapter (tests/support/adapters) claims fails.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters import ADAPTERS, Setting
from adapters.base import PLACE, setting_of, sgd_of
from golden_cases import GOLDEN, Case, case_files, read
from torch import Tensor

from fplbench.clip.task import PromptTask
from fplbench.engine.train import Steps, step_gradients, train_clients
from fplbench.method import Batch, Tensors

TOLERANCE = 1e-5
AMPLIFIED = 1e-4
FILES = case_files()


def kind_of(path: Path) -> str:
    return read(path).kind


STEPS = [path for path in FILES if kind_of(path) == "step"]
OTHERS = [path for path in FILES if path not in STEPS]


def named(path: Path) -> str:
    return path.stem


def assert_close(what: str, ours: Tensor, golden: Tensor) -> None:
    assert ours.shape == golden.shape, f"{what}: {list(ours.shape)}, not {list(golden.shape)}"
    assert ours.dtype == golden.dtype == torch.float32, what
    error = float((ours - golden).abs().max() / golden.abs().max())
    print(f"{what}: {error:.1e}")
    assert error <= TOLERANCE, f"{what}: relative error {error:.2e}"


def claimed(case: Case) -> None:
    assert case.method in ADAPTERS, f"no method claims the golden case {case.name} ({case.method})"


@pytest.fixture(scope="module", params=STEPS, ids=named)
def setting(request: pytest.FixtureRequest) -> Setting:
    case = read(request.param)
    claimed(case)
    return setting_of(case, ADAPTERS[case.method])


@pytest.fixture(autouse=True)
def recorded_draws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step draws is what the case has recorded."""
    if "setting" in request.fixturenames:
        of: Setting = request.getfixturevalue("setting")
        of.step = 0
        monkeypatch.setattr(Batch, "draw", lambda self, *asked, **how: of.draw(*asked, **how))


def test_the_folder_holds_cases() -> None:
    assert FILES, f"no golden case in {GOLDEN}"


def test_logits_agree(setting: Setting) -> None:
    expected = setting.case.group("expected.")
    logits = setting.logits(training=setting.adapter.stops_by_client)
    golden = expected["logits"][:, : logits.shape[-1]]
    assert_close("logits", logits[PLACE, : len(golden)], golden)
    for name, ours in setting.adapter.compared(setting).items():
        assert_close(name, ours, expected[name])


def gradients(setting: Setting, params: Tensors, task: PromptTask) -> tuple[Tensors, Tensors]:
    return step_gradients(setting.method, params, setting.trained, setting.batch(), task)


def test_loss_terms_and_gradients_agree(setting: Setting) -> None:
    terms, grads = gradients(setting, setting.params, setting.task)
    if setting.adapter.amplifies:
        rounded = grads
        terms, exact = gradients(setting, *setting.in_double())
        grads = {name: grad.float() for name, grad in exact.items()}
        for name, grad in grads.items():
            far = float((rounded[name] - grad).abs().max() / grad.abs().max())
            print(f"gradient of {name}, float32 from float64: {far:.1e}")
            assert far < AMPLIFIED, name
    expected = setting.case.group("expected.")
    ours = {name: term[PLACE] for name, term in terms.items()}
    assert_close("loss", setting.adapter.total(ours), expected["loss"])
    for name, (term, weight) in setting.adapter.terms.items():
        scale = setting.case.number(weight) if weight else 1.0
        if name in expected and scale:  # what weighs nothing is not computed
            assert_close(name, ours[term] / scale, expected[name])
    found = setting.of_case(grads)
    golden = setting.adapter.gradients(setting.case)
    zeros = setting.case.settings.get("zero_grad", [])
    assert isinstance(zeros, list)
    left = found.keys() - golden.keys() - setting.adapter.sums(setting.case) - {*zeros}
    assert not left, f"gradients that the case does not expect: {left}"
    for name, grad in golden.items():
        assert_close(f"gradient of {name}", found[name], grad)
    for axis in (0, 1):
        for name, grad in setting.case.group(f"expected.grad_sum{axis}.").items():
            assert_close(
                f"gradient of {name}, summed", found[name].double().sum(axis).float(), grad
            )
    setting.adapter.check(setting, assert_close)


def test_three_steps_of_sgd_agree(setting: Setting) -> None:
    case = setting.case
    params = {name: value.clone() for name, value in setting.params.items()}
    optimizer = sgd_of(case, setting.specs)
    rows = setting.data.mask.shape[1]
    one_step = Steps(
        index=torch.arange(rows).expand(1, 3, rows),
        mask=setting.data.mask[None],
        epoch=torch.zeros(1, 3, dtype=torch.long),
        active=(3,),
        width=(rows,),
    )
    trace = []
    for step in range(3):
        setting.step = step
        terms = train_clients(
            setting.method,
            params,
            setting.trained,
            setting.data,
            one_step,
            setting.fixed,
            setting.task,
            optimizer,
        )
        trace.append(setting.adapter.total({name: t[PLACE] for name, t in terms.items()}))
    assert_close("losses of three steps", torch.stack(trace), case.of("expected.loss_trace_sgd"))
    found = setting.of_case(params)
    after = setting.adapter.after(case)
    assert after
    for name, value in after.items():
        assert_close(f"{name} after three steps", found[name], value)


@pytest.mark.parametrize("path", OTHERS, ids=named)
def test_the_server_and_what_clients_receive_agree(path: Path) -> None:
    case = read(path)
    claimed(case)
    adapter = ADAPTERS[case.method]
    if case.kind != "aggregation" or "rounds" in case.settings:
        adapter.check_rounds(case, assert_close)
        return
    server, started = adapter.aggregated(case)
    expected = case.group("expected.")
    wanted = {n.removeprefix("server."): t for n, t in expected.items() if n.startswith("server.")}
    wanted |= {name: t for name, t in expected.items() if name == "u"}
    assert wanted
    for name, tensor in wanted.items():
        assert_close(f"the server's {name}", server[name], tensor)
    for name, tensor in case.group("expected.download.").items():
        assert_close(f"{name} that clients start with", started[name], tensor)
