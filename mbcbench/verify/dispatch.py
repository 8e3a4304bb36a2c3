"""Base class of modes that see every operation of PyTorch, including the parts of composite ones."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


def operation_name(func: Any) -> str:
    """Return the name of an operation that a mode sees, without that of its overload."""
    return str(getattr(func, "overloadpacket", func).__name__)


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
