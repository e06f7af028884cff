"""The training that scenarios default to.

Federations of some ten clients that all take part: 25 rounds of 2 local epochs (FedPGP's scripts)
or 10 of 5 (FedOTP's few-shot script and yaml), 50 local epochs either way. Federations of 100
clients with participation 0.1 train 150 rounds: of 1 on CIFAR-100 (both repositories' scripts), of
10 on CIFAR-10 (FedPGP's history, ba16025).
"""

FEDPGP = {"rounds": 25, "local_epochs": 2, "participation": 1.0}
FEDOTP = {"rounds": 10, "local_epochs": 5, "participation": 1.0}
