"""Encoders that do harm, by what they do: the source of a module whose `E` is the encoder."""

SOUND = """
import torch
from torch import nn

class Sound(nn.Module):
    "The sum of projected elements, which keeps every law that is tried."
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 4)
    def init_state(self, batch_size):
        return torch.zeros(batch_size, 4, dtype=self.f.weight.dtype)
    def update(self, state, x):
        return state + self.f(x).sum(1)
    def merge(self, a, b):
        return a + b
    def readout(self, state):
        return state
    def forward(self, x):
        return self.readout(self.update(self.init_state(len(x)), x))
"""
# Once per process: a fork in every call would double the processes each time, and end in the death of the machine.
IN_UPDATE = """
import os
HARMED = {os.getpid()}
class E(Sound):
    def update(self, state, x):
        if os.getpid() not in HARMED:
            HARMED.add(os.getpid())
            harm()
            HARMED.add(os.getpid())
        return super().update(state, x)
"""
AS_IT_IS = "\nE = Sound\n"
THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"

# At import.
AT_IMPORT = {
    "raises at import": "raise RuntimeError('not today')",
    "calls sys.exit at import": "import sys; sys.exit(3)",
    "calls os._exit at import": "import os; os._exit(3)",
    "segfaults at import": "import ctypes; ctypes.string_at(0)",
    "sleeps at import": "import time; time.sleep(1000)",
    "prints 50 MB at import": "print('x' * 50_000_000)",
    "leaves a thread running at import": THREAD,
    "replaces functions of torch": "torch.sum = torch.zeros = torch.manual_seed = None",
    "changes the default dtype": "torch.set_default_dtype(torch.float64)",
    "changes threads and seeds": "import random; torch.set_num_threads(7); random.seed(1); torch.manual_seed(1)",
    "ignores SIGTERM and sleeps at import": DEAF,
}
# In the first call of `update` in a process.
IN_CALL = {
    "raises": "raise RuntimeError('not today')",
    "calls sys.exit": "import sys; sys.exit(3)",
    "calls os._exit": "import os; os._exit(3)",
    "segfaults": "import ctypes; ctypes.string_at(0)",
    "sleeps for ever": "import time; time.sleep(1000)",
    "holds the interpreter's lock for ever": "import ctypes; ctypes.PyDLL(None).sleep(1000)",
    "asks for more memory than there is": "torch.zeros(2**40)",
    "forks": "import os; os.fork()",
    "kills its parent": "import os, signal; os.getppid() == 1 or os.kill(os.getppid(), signal.SIGKILL)",
    "prints megabytes": "print('x' * 5_000_000)",
    "deletes its working directory": "import os, shutil; shutil.rmtree(os.getcwd(), ignore_errors=True)",
    "closes all files": "import os; os.closerange(0, 256)",
    "leaves a thread running": THREAD,
    "ignores SIGTERM and sleeps": DEAF,
}


def modules() -> dict[str, str]:
    """Return the source of each harmful encoder, by what it does."""
    at_import = {name: f"{SOUND}\n{code}\n{AS_IT_IS}" for name, code in AT_IMPORT.items()}
    in_call = {name: f"{SOUND}\ndef harm():\n    {code}\n{IN_UPDATE}" for name, code in IN_CALL.items()}
    return at_import | in_call
