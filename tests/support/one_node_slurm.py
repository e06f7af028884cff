"""A real Slurm of one node on the loopback address, in a folder of its own, for a while."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
WHERE = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONFIG = """
ClusterName=fplbench
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
KillWait=20
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# No cgroup is used: a container mostly may not make any.
CGROUP = "CgroupPlugin=cgroup/v1\nConstrainCores=no\nConstrainRAMSpace=no\n"


def missing() -> list[str]:
    """The programs of Slurm that are not here."""
    return [name for name in NEEDED if shutil.which(name, path=WHERE) is None]


@contextmanager
def one_node_slurm(folder: Path, patience: float = 60) -> Iterator[dict[str, str]]:
    """The environment in which sbatch and the others find it. RuntimeError with the logs if it
    does not come up."""
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    controller, node = _free_ports()
    values = {
        "host": socket.gethostname().partition(".")[0],
        "user": getpass.getuser(),
        "folder": folder,
        "controller": controller,
        "node": node,
        "cores": os.cpu_count(),
    }
    (folder / "slurm.conf").write_text(CONFIG.format(**values))
    (folder / "cgroup.conf").write_text(CGROUP)
    env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": WHERE}
    munge = [
        f"--{option}={folder}/munge.{kind}"
        for option, kind in (("key-file", "key"), ("socket", "socket"), ("log-file", "log"))
    ]
    munge += [f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed"]
    daemons = []
    try:
        for command in (["munged", "-F", "-f", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("w") as said:
                daemons.append(subprocess.Popen(command, env=env, stdout=said, stderr=said))
            time.sleep(1)
        deadline = time.monotonic() + patience
        while _state(env) not in ("idle", "mixed", "allocated"):
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.[ol][uo]*"))
                raise RuntimeError(f"Slurm does not come up: {logs}")
            time.sleep(0.5)
        yield env
    finally:
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], env=env, check=False)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=30)


def _state(env: dict[str, str]) -> str:
    command = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
