"""The loop over rounds: what happens from a method's first tensors to its accuracies.

A round (rounds.py): some clients receive what the server has, each trains on its own images
(train.py), and the server makes the next shared tensors of what they send. After some rounds
every client is tested with what it has then (evaluate.py).
"""

from __future__ import annotations

from collections.abc import Callable

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import Accuracies, evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.rounds import RoundLog, run_round
from fplbench.features.images import Images
from fplbench.spec import Training

# Called after each round with its number, counted from 1; what training did, None where nothing
# is trained; and the accuracies, None in a round after which nobody is tested.
OnRound = Callable[[int, RoundLog | None, Accuracies | None], None]


def fit(
    federation: Federation,
    training: Training,
    test: Images,
    chunk: Chunk,
    on_round: OnRound,
    done: int = 0,
    accuracies: Accuracies | None = None,
) -> Accuracies:
    """Train and test for `training.rounds` rounds; the accuracies after the last one.

    The federation changes in place. chunk: how many clients are computed together.
    done, accuracies: the rounds that the federation has behind it, and the last test in them.
    Whoever keeps `Federation.state_dict()`, the round and the accuracies in `on_round` can go on
    from there with the bits of a run that was not interrupted: every random number is derived
    from the seed, its purpose, the client and the round.
    """
    evaluated = training.evaluated_rounds()
    for index in range(done + 1, training.rounds + 1):
        log = run_round(federation, training, index, chunk) if federation.trained else None
        # What is not trained does not change: one test is enough.
        if index in evaluated and (federation.trained or not accuracies):
            accuracies = evaluate(federation, test, index, chunk, training)
        on_round(index, log, accuracies if index in evaluated else None)
    return accuracies or {}
