"""Base class of modes that see every operation of PyTorch, including the parts of composite ones."""

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call] # of torch
    """A mode whose `__torch_dispatch__` is called for each operation, with the types that torch omits."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call] # of torch

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # of torch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing is compiled here, and torch would import its compiler, which takes a second."""
        return False
