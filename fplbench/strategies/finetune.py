"""FedAvg and then a few local epochs before the test (FedAvg-FT): the plainest personalization."""

from __future__ import annotations

from pydantic import Field

from fplbench.strategies.fedavg import FedAvg


class FineTune(FedAvg):
    """Tested is w_c = SGD(w, E epochs on the client's own images); the next round starts from w.

    w: the server's mean. The epochs are trained with the batches and the rate of the round that
    has just ended, and nothing of them is kept or sent.
    """

    name = "finetune"
    title = "FedAvg and fine-tuning"
    source = (
        "Collins et al., FedAvg with Fine Tuning: Local Updates Lead to Representation Learning, "
        "NeurIPS 2022; Wang et al., Federated Evaluation of On-Device Personalization, 2019"
    )

    class Config(FedAvg.Config):
        epochs: int = Field(
            1,
            ge=1,
            description="E, local epochs before a test. 1: ours; papers take what they train a "
            "round, or tune it.",
        )

    config: Config

    @property
    def test_epochs(self) -> int:
        return self.config.epochs
