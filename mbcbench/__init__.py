"""mbcbench: verify, measure and score neural set encoders under mini-batch consistency.

The public names are those of `__init__.pyi`. Each is imported when it is first used, so that `import mbcbench` is quick
and needs no torch.
"""

import lazy_loader

__version__ = "0.1.0"

_get_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_RENAMED = {
    "Checked": "CheckResult",
    "Pair": "ChunkAggregation",
    "replay": "replay_counterexample",
    "spec": "get_spec",
}  # names in the previous release


def __getattr__(name: str) -> object:
    from mbcbench.errors import explain_missing_libraries

    if name in _RENAMED:
        import warnings

        warnings.warn(f"mbcbench.{name} is called mbcbench.{_RENAMED[name]} now", DeprecationWarning, stacklevel=2)
    with explain_missing_libraries():
        return _get_public_name(_RENAMED.get(name, name))
