"""Trials of a method's hooks, one by one: on random clients, the engine's loop left out.

A trial returns nothing where a promise is kept, or in a few words why it does not apply, and
raises Failed where it is broken.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from fplbench.contract.imagined import Away, imagined, on_host
from fplbench.contract.room import (
    CLASSES,
    CLIENTS,
    OTHERS,
    Candidate,
    Player,
    Scene,
    changed,
    inside,
    round_of,
    scene,
    task,
    task_on,
)
from fplbench.contract.state import remembered
from fplbench.contract.verdict import PRECISION, ROUNDING, Failed, compare
from fplbench.method import Batch, Tensors


def start(candidate: Candidate) -> None:
    """Two objects, one seed, another state of torch's global generator."""
    drawn = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            drawn.append(candidate.make().init(task(), torch.Generator().manual_seed(5)))
    first, second = ({name: spec.value for name, spec in each.items()} for each in drawn)
    compare(
        first,
        second,
        0,
        "init gives another {what} for the same generator: pass generator= to whatever draws.",
    )
    for name, spec in drawn[0].items():
        if spec.value.device.type != "cpu":
            raise Failed(f"init makes {name!r} on {spec.value.device}: it is drawn on the CPU.")
        if spec.trained and spec.value.dtype != torch.float32:
            raise Failed(f"init makes {name!r} in {spec.value.dtype}: trained tensors are float32.")


def shapes(candidate: Candidate) -> None:
    """Logits for the trained and for another class list, and terms of the loss."""
    player, at = Player.anew(candidate), scene(candidate)
    asked = [task()]
    if candidate.make().supports(task(OTHERS), "novel", task()):
        asked.append(task(OTHERS))
    for seen in asked:
        logits = player.answer(at, seen)
        wanted = [*at.exam.mask.shape, len(seen.classnames)]
        if list(logits.shape) != wanted:
            raise Failed(f"logits have the shape {list(logits.shape)}, but [C, B, K] is {wanted}.")
        if not bool(logits.isfinite().all()):
            raise Failed("logits are not finite on random images.")
    for name, term in player.step(at)[0].items():
        if term.shape != (CLIENTS,):
            raise Failed(f"the loss {name!r} has the shape {list(term.shape)}: one number a client")


def gradients(candidate: Candidate) -> str | None:
    """A trained tensor that nothing moves is a mistake, mostly a detach too many."""
    player = Player.anew(candidate)
    if not player.trained:
        return "nothing is trained"
    specs = candidate.make().init(task(), torch.Generator().manual_seed(0))
    for name, grad in player.step(scene(candidate))[1].items():
        if specs[name].idle:
            continue
        if not bool(grad.isfinite().all()) or not bool(grad.flatten(1).any(1).all()):
            raise Failed(
                f"{name!r} is trained, but a client has no gradient of it: no term of the loss "
                f"reaches it."
            )
    return None


def alone(candidate: Candidate) -> None:
    """A client beside two random others, and by itself."""
    player, at = Player.anew(candidate), scene(candidate)
    together = player.results(at)
    for client in range(CLIENTS):
        one = slice(client, client + 1)
        by_itself = player.results(at.of(one))
        # Beside the size of all clients' values: one that cancels to almost nothing is rounding.
        compare(
            {
                n: torch.cat([t[:client], by_itself[n], t[client + 1 :]])
                for n, t in together.items()
            },
            together,
            ROUNDING,
            f"the {{what}} of client {client} changes by {{far}} of its size when other clients "
            f"are beside it: something mixes rows of the client axis, such as a mean over it.",
        )


def mask(candidate: Candidate) -> None:
    """Other images and labels where the mask says that there are none."""
    player, at = Player.anew(candidate), scene(candidate)
    other = replace(
        at,
        batch=_hidden_replaced(at.batch),
        memory=_hidden_replaced(at.memory),
        exam=_hidden_replaced(at.exam),
    )
    found, wanted = (_seen(player.results(each), at) for each in (other, at))
    compare(
        found,
        wanted,
        ROUNDING,
        "the {what} changes by {far} of its size with images outside the mask: leave them out by "
        "batch.mask, as masked_mean does.",
    )


def _hidden_replaced(batch: Batch) -> Batch:
    hidden = ~batch.mask
    kept = {
        key: getattr(batch, key) for key in ("mask", "class_mask", "labels", "clients", "expected")
    }
    if batch.labels is not None:
        kept["labels"] = torch.where(hidden, (batch.labels + 1) % len(CLASSES), batch.labels)
    for kind in inside(batch).keys() - kept.keys():
        features = getattr(batch, kind)
        lines = hidden.view(*hidden.shape, *[1] * (features.dim() - 2))
        kept[kind] = torch.where(lines, -features.roll(1, -1), features)
    return replace(batch, **kept)


def _seen(results: Tensors, at: Scene) -> Tensors:
    """Logits of images outside the mask mean nothing."""
    return results | {"logits": results["logits"] * at.exam.mask[..., None]}


def images(candidate: Candidate) -> None:
    """Every test image by itself, and beside others than before."""
    player, at = Player.anew(candidate), scene(candidate)
    whole = player.answer(at)
    for place in range(at.exam.mask.shape[1]):
        one = slice(place, place + 1)
        single = replace(at, exam=changed(at.exam, lambda t, one=one: t[:, one]))  # type: ignore
        visible = at.exam.mask[:, one, None]
        compare(
            {"logits": whole[:, one] * visible},
            {"logits": player.answer(single) * visible},
            ROUNDING,
            "an image's {what} change by {far} of their size with the images beside it: in "
            "evaluation each image is answered by itself.",
        )


def precision(candidate: Candidate) -> None:
    """The same in float64, where a tensor made in float32 on the way shows."""
    player, at = Player.anew(candidate), scene(candidate)
    single = player.results(at)
    double = player.results(at.to(torch.float64, task(CLASSES, torch.float64)))
    for found, dtype in ((single, torch.float32), (double, torch.float64)):
        for name, t in found.items():
            if t.dtype != dtype:
                raise Failed(f"given {dtype}, the {name} comes out as {t.dtype}: keep the dtype.")
    compare(
        single,
        double,
        PRECISION,
        "the {what} in float32 is {far} of its size from that in float64: something loses digits "
        "(a sum of large and small numbers, a log of a small one), is rounded on the way, or is 0 "
        "but for rounding, as a gradient of what no probability depends on.",
    )


def device(candidate: Candidate) -> None:
    """A device where tensors of the host are refused, as a GPU refuses them."""
    player, at = Player.anew(candidate), scene(candidate)
    wanted = player.results(at)
    with imagined() as there:
        found = player.results(at.to(there, task_on(there)))
    for name, t in found.items():
        if not isinstance(t, Away):
            raise Failed(f"the {name} is on the host when its clients are on a device.")
    compare(
        {name: on_host(t) for name, t in found.items()},
        wanted,
        PRECISION,
        "the {what} on another device is {far} of its size from the host's.",
    )


def untouched(candidate: Candidate) -> None:
    """No hook may write into what it is given."""
    at = scene(candidate)
    method, r = candidate.make(), round_of(shared=tuple(at.received.keys() & at.params.keys()))
    player = Player(lambda: method, candidate.trained())
    copy = at.each(torch.clone)
    own = {"clip_text_features": at.task.clip_text_features, "logit_scale": at.task.logit_scale}
    before = {name: t.clone() for name, t in own.items()}
    with torch.no_grad():
        text = method.encode(at.params, at.task)
        kept = {name: t.clone() for name, t in text.items()}
        method.logits(at.params, text, replace(at.exam, fixed=player.fixed(at)), at.task)
    _, grads = player.step(at)
    if player.trained:
        method.after_step(at.params, grads, at.batch)
    sent = method.upload(at.params, r)
    if sent:
        server = at.server
        given = {name: t.clone() for name, t in (server | sent).items()}
        method.download(method.aggregate(server, sent, r), r)
        compare(server | sent, given, 0, "aggregate writes into {what}: make a new tensor.")
    method.merge(at.params, at.received)
    sentence = "{what} is written into by a hook that was only given it: make a new tensor."
    compare(at.tensors() | own | text, copy.tensors() | before | kept, 0, sentence)


def state(candidate: Candidate) -> None:
    """One object for all calls, in two orders, and a new object for each call."""
    method = candidate.make()
    player, fresh = Player(lambda: method, candidate.trained()), Player.anew(candidate)
    here, there = scene(candidate), scene(candidate, seed=1)
    before = remembered(method)
    method.init(task(), torch.Generator().manual_seed(0))
    first = player.results(here)
    player.results(there)
    method.supports(task(OTHERS), "novel", task())
    again = player.results(here)
    after = remembered(method)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise Failed(
                f"{name} changes while hooks are called: return it from memory or prepare, and "
                f"read it from batch.fixed."
            )
    for other in (again, fresh.results(here)):
        compare(
            other,
            first,
            0,
            "the {what} of the same clients differs from one call to the next: a hook remembers "
            "something, or draws at random without r.generator.",
        )


def shared_prompt(candidate: Candidate) -> str | None:
    """The shared prompt alone, with other private tensors behind it."""
    method, at = candidate.make(), scene(candidate)
    specs = method.init(task(), torch.Generator().manual_seed(0))
    shared = [name for name, spec in specs.items() if spec.shared]
    if method.alone(at.params, shared) is None:
        return "it has no shared prompt that is a model of its own"
    answers = []
    for sign in (1, -1):
        params = {
            name: sign * at.params[name] if spec.trained and not spec.shared else at.params[name]
            for name, spec in specs.items()
        }
        model = method.alone(params, shared)
        assert model is not None
        with torch.no_grad():
            text = method.encode(model, at.task)
            answers.append(method.logits(model, text, at.exam, at.task))
    compare(
        {"logits": answers[0]},
        {"logits": answers[1]},
        0,
        "the {what} of shared_only change with a client's private tensors: put the shared ones, "
        "or zeros, in their places.",
    )
    return None
