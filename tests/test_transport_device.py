"""The GPU's kernel of the transport: interpreted, compiled, and where there is a GPU run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from environments import run
from torch.testing import assert_close
from transports import similarities

from fplbench.transport import Rule, transported

pytest.importorskip("triton")
SUPPORT = str(Path(__file__).parent / "support")


def test_interpreted_it_is_the_plain_code(tmp_path: Path) -> None:
    variables = {"TRITON_INTERPRET": "1", "PYTHONPATH": SUPPORT}
    text = run(sys.executable, "-m", "interpreted_transport", cwd=tmp_path, **variables)
    assert text.split() == ["the", "same"]


def test_an_image_with_too_many_scalings_is_left_to_plain_tensors() -> None:
    from fplbench.transport import device

    assert device.can(torch.zeros(1, 1, 1, 4, 4096))
    assert not device.can(torch.zeros(1, 1, 1, 4, 4097))


def test_it_compiles_for_a_gpu(tmp_path: Path) -> None:
    """Both rules and both types, to machine code of an H100, which needs no GPU."""
    code = (
        "from triton.backends.compiler import GPUTarget\n"
        "from triton.compiler import ASTSource, compile\n"
        "from fplbench.transport.device import STEPS, _advance\n"
        "for kind in ('fp32', 'fp64'):\n"
        "    for partial in (True, False):\n"
        "        names = _advance.arg_names\n"
        "        types = dict.fromkeys(names[:4], f'*{kind}') | dict.fromkeys(names[6:9], 'i32')\n"
        "        types |= {'going': '*i32', 'numbers': f'*{kind}'}\n"
        "        types = {name: types[name] for name in names[:9]}\n"
        "        fixed = {'N': 2, 'NP': 2, 'KP': 64, 'HELD': STEPS + 1, 'partial': partial}\n"
        "        types |= dict.fromkeys(fixed, 'constexpr')\n"
        "        source = ASTSource(_advance, types, fixed)\n"
        "        made = compile(source, target=GPUTarget('cuda', 90, 32))\n"
        "        print(len(made.asm['cubin']) > 0)\n"
    )
    cache = {"TRITON_CACHE_DIR": str(tmp_path)}
    assert run(sys.executable, "-c", code, cwd=tmp_path, **cache).split() == ["True"] * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_gpu_answers_as_the_host(partial: bool, training: bool) -> None:
    rule = Rule(partial, 0.8 if partial else 1, eps=0.1, thresh=1e-3, max_iter=100)
    similarity = 0.15 * similarities(3, 10, 36, 2, 50)
    mask = torch.ones(3, 10, dtype=torch.bool)
    here = transported(similarity, mask, rule, training)
    there = transported(similarity.cuda(), mask.cuda(), rule, training)
    assert_close(there.cpu(), here, rtol=0, atol=5e-6)
