"""Tests compute on one thread: their tensors are so small that two threads mostly wait. Freed
memory is kept, as in a run.

Commands that tests run in this process take more; they give their cores away as the command line
does, which must be said before torch is there.
"""

import os

from fplbench.machine.openmp import wait_briefly

wait_briefly()
# The processes of pytest-xdist have it set, and a console that is made then keeps that width.
os.environ.pop("COLUMNS", None)

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from fplbench.machine.process import keep_freed_memory  # noqa: E402

keep_freed_memory()
torch.set_num_threads(1)

# A deadline says how busy the machine is, not what is wrong with the code.
settings.register_profile("fplbench", deadline=None)
settings.load_profile("fplbench")
