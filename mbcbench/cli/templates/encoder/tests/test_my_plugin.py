from collections.abc import Callable

import mbcbench

from my_plugin import SPEC


@mbcbench.parametrize_with_laws([SPEC])
def test_laws(encoder: object, check: Callable[[object], None]) -> None:
    check(encoder)
