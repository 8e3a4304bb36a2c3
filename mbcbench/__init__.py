"""mbcbench: verify, measure and score neural set encoders under mini-batch consistency.

The public names are those of `__init__.pyi`. Each is imported when it is first used, so that `import mbcbench` is quick
and needs no torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
