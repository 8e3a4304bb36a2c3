"""What Triton's interpreter lacks with the NumPy of these tests."""

from typing import Any

from triton.runtime import interpreter


def accept_scalar_bounds() -> None:
    """Let the bounds of a loop be scalars of the kernel: Triton 3.6 reads them in a way that NumPy 2.4 refuses."""
    patch = interpreter._patch_lang_tensor

    def patch_with_index(tensor: Any, *scopes: Any) -> None:  # no scope in Triton 3.5
        patch(tensor, *scopes)
        for scope in scopes:
            scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = patch_with_index
