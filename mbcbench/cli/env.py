"""`mbcbench env`: print versions, hardware and folders."""

from mbcbench.errors import ExitCode, UsageError


def env() -> int:
    """Print versions, hardware and folders, as a bug report needs them."""
    import torch

    from mbcbench import system
    from mbcbench.cli.console import facts, print_out

    hardware = system.hardware()
    rows = {
        **system.versions(),
        "processor": hardware["cpu"],
        "cores": hardware["cores"],
        "memory": f"{hardware['memory_bytes'] / 2**30:.1f} GiB",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "cache": _cache_folder(),
    }
    print_out(facts(rows))
    return ExitCode.AS_CLAIMED


def _cache_folder() -> str:
    """Return the folder of the data sets, or nothing if the libraries for data are not installed."""
    try:
        from mbcbench.datasets import data_folder

        return str(data_folder())
    except (ModuleNotFoundError, UsageError):
        return ""
