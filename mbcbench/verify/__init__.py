"""Laws, and the code that checks them: search, tolerance and counterexamples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["strategies"])
