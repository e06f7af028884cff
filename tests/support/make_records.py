"""Synthetic records with the shapes of real ones, written through the real Store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fplbench.plugins import registry
from fplbench.records.record import Failure, Metric, Record, Traffic
from fplbench.records.store import Store
from fplbench.records.words import said
from fplbench.spec import PROTOCOL

TITLES = {
    "zeroshot": "CLIP zero-shot",
    "coop": "CoOp (local)",
    "promptfl": "PromptFL",
    "fedotp": "FedOTP",
    "pfedprompt": "pFedPrompt",
    "fedpgp": "FedPGP",
}

# local, base, novel accuracy in percent, and how much each wanders over seeds.
TRADE_OFFS = {
    "zeroshot": (71.0, 71.0, 67.5),
    "coop": (83.0, 55.0, 61.0),
    "promptfl": (74.0, 73.5, 66.0),
    "fedotp": (86.0, 60.0, 58.0),
    "pfedprompt": (81.0, 72.0, 65.5),
    "fedpgp": (88.0, 69.0, 66.5),
}
DOMAINS = ("flat", "outline", "sketch & ink", "neon_glow")
METRICS = {
    "base2novel": ("local", "local_own", "base", "neighbor", "novel", "global", "global_novel"),
    "personal": ("local", "global"),
    "domains": ("local", *(f"domain/{name}" for name in DOMAINS), "global"),
}


def make_record(
    method: str = "promptfl",
    dataset: str = "shapes",
    scenario: str = "base2novel",
    seed: int = 0,
    rounds: int = 10,
    clients: int = 10,
    **changes: Any,
) -> Record:
    """A done cell with numbers near TRADE_OFFS; `changes` replace fields."""
    rng = np.random.default_rng([seed, *map(ord, method + dataset + scenario)])
    names = list(DOMAINS) if scenario == "domains" else [f"client {i}" for i in range(clients)]
    trained = method != "zeroshot"
    bytes_each = 16 * 96 * 4 if trained and method != "coop" else 0
    fields: dict[str, Any] = {
        "id": f"{method}-{dataset}-{scenario}-s{seed}-{abs(hash_of(method, changes)):08x}",
        "status": "done",
        "method": method,
        "dataset": dataset,
        "scenario": scenario,
        "backbone": "tiny",
        "seed": seed,
        "protocol": PROTOCOL,
        "settings": {"n_ctx": 16} if trained else {},
        "scenario_settings": scenario_settings(scenario, clients),
        "training": {
            "rounds": rounds,
            "local_epochs": 2,
            "batch_size": 32,
            "lr": 0.001,
            "precision": "float32",
            "participation": 1.0,
            "new_clients": 0.0,
            "new_client_epochs": 2,
            "evaluated_clients": 0,
            "chosen_by": "",
        },
        "metrics": make_metrics(method, dataset, scenario, names, rng, trained),
        "clients": names,
        "train_sizes": [80] * len(names),
        "traffic": Traffic(
            up_bytes=bytes_each * len(names) * rounds,
            down_bytes=bytes_each * len(names) * rounds,
            up_bytes_client_round=bytes_each,
            down_bytes_client_round=bytes_each,
        ),
        "trainable_parameters": 16 * 96 if trained else 0,
        "times": {"train": 12.0, "evaluate": 2.0, "total": 14.5},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:00:14+00:00",
    }
    fields |= changes
    kind = registry.scenarios().get(fields["scenario"])
    made = kind(kind.Config(**fields["scenario_settings"]))
    names_known = (*fields["metrics"], *fields.get("not_applicable", {}))
    return Record(**(said(made, names_known) | fields))


def hash_of(method: str, changes: dict[str, Any]) -> int:
    """The same in every process, unlike hash()."""
    text = method + repr({key: changes[key] for key in sorted(changes) if key != "status"})
    return sum(ord(letter) * 31**i for i, letter in enumerate(text)) % 2**32


def scenario_settings(scenario: str, clients: int) -> dict[str, Any]:
    return {
        "base2novel": {"clients": clients, "shots": 16},
        "personal": {"clients": clients, "alpha": 0.3},
        "domains": {"hold_out": None},
    }[scenario]


def make_metrics(
    method: str,
    dataset: str,
    scenario: str,
    names: list[str],
    rng: np.random.Generator,
    trained: bool,
) -> dict[str, Metric]:
    local, base, novel = TRADE_OFFS[method]
    shift = {"shapes": 0.0, "digits": -11.0}.get(dataset, -4.0) + (rng.normal() if trained else 0.0)
    means = {"local": local, "local_own": local + 5, "base": base, "neighbor": base - 1}
    means |= {"novel": novel, "global": base, "global_novel": novel}
    means |= {f"domain/{name}": local for name in names}
    metrics = {}
    for name, mean in means.items():
        if name not in METRICS[scenario]:
            continue
        each = np.clip(mean + shift + rng.normal(0, 5, len(names)), 0, 99)
        metrics[name] = Metric(
            mean=each.mean(),
            std=each.std(),
            worst=each.min(),
            count=len(names),
            per_client=[float(x) for x in each] if name in ("local", "base", "novel") else None,
        )
    if scenario == "domains":
        for name in ("domains", "global_domains"):
            metrics[name] = Metric(mean=metrics["local" if name == "domains" else "global"].mean)
    if scenario == "base2novel":
        three = [metrics[name].mean for name in ("local", "base", "novel")]
        hm_bn = 2 / sum(1 / x for x in three[1:])
        derived = {"hm": 3 / sum(1 / x for x in three), "hm_bn": hm_bn}
        derived["cm"] = (three[0] + hm_bn) / 2
        metrics |= {name: Metric(mean=value) for name, value in derived.items()}
    return metrics


def make_history(record: Record) -> pd.DataFrame:
    """Evaluated in every second round and in the last."""
    rounds = int(str(record.training["rounds"]))
    rows = []
    for index in range(rounds):
        row: dict[str, float] = {
            "round": index + 1,
            "loss": 2.0 * math.exp(-index / 5),
            "ce": 1.8 * math.exp(-index / 5),
            "up_bytes": record.traffic.up_bytes / rounds,
            "down_bytes": record.traffic.down_bytes / rounds,
            "seconds": 1.2,
        }
        for name, metric in record.metrics.items():
            gap = 15 * math.exp(-index / 3) - 15 * math.exp(-(rounds - 1) / 3)
            evaluated = index % 2 == 1 or index == rounds - 1
            row[name] = metric.mean - gap if evaluated else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def write_done(store: Store, record: Record) -> Path:
    import torch  # not above: the processes that tests kill must start fast

    tensors = {"ctx": torch.zeros(1, 16, 96)} if record.settings else {}
    return store.write(record, make_history(record), tensors)


def write_stopped(store: Store, record: Record, status: str = "diverged") -> Path:
    """The same cell, stopped in round 3."""
    error = Failure(kind=status, message="the loss is not finite", round=3, client=4)
    stopped = record.model_copy(update={"status": status, "error": error, "metrics": {}})
    return store.write(stopped, make_history(record).head(3), {})


def store_values(root: Path, values: dict[str, list[float | None]], **changes: object) -> Store:
    """Cells whose only metrics are local and global; None is a diverged seed."""
    store = Store(root)
    for method, each in values.items():
        for seed, value in enumerate(each):
            record = make_record(method, "digits", "personal", seed, **changes)
            if value is None:
                write_stopped(store, record)
                continue
            metrics = {"local": Metric(mean=value), "global": Metric(mean=50.0)}
            write_done(store, record.model_copy(update={"metrics": metrics}))
    return store


def fill(root: Path, seeds: int = 3) -> Store:
    """A comparison like the demo's: six methods, base2novel on two data sets, and domains."""
    store = Store(root)
    for dataset, scenario in [
        ("shapes", "base2novel"),
        ("digits", "base2novel"),
        ("shapes_domains", "domains"),
    ]:
        for method in TITLES:
            for seed in range(seeds):
                write_done(store, make_record(method, dataset, scenario, seed))
    return store
