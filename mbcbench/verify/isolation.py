"""Isolate a check from the process: one thread, random generators in a known state, and settings that are restored."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """A setting of the process that a call may change for all later ones.

    Parameters
    ----------
    read
        Returns its value.
    restore
        Sets it to a value that `read` returned.
    """

    read: Callable[[], Any]
    restore: Callable[[Any], object]


SETTINGS: Mapping[str, Setting] = {
    "the gradient mode": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "the default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "the default device": Setting(
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device == torch.device("cpu") else device),
    ),
    "autocast on the CPU": Setting(
        lambda: torch.is_autocast_enabled("cpu"), lambda is_enabled: torch.set_autocast_enabled("cpu", is_enabled)
    ),
    "the dtype of autocast on the CPU": Setting(
        lambda: torch.get_autocast_dtype("cpu"), lambda dtype: torch.set_autocast_dtype("cpu", dtype)
    ),
    "the debug mode of deterministic algorithms": Setting(
        torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    ),
    "anomaly detection": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
}


def read_settings() -> dict[str, Any]:
    """Return the values of all settings by name."""
    return {name: setting.read() for name, setting in SETTINGS.items()}


def changed_setting(before: Mapping[str, Any]) -> str:
    """Return which setting changed since `read_settings` returned `before`, and how, or an empty string."""
    changed = ((name, before[name], value) for name, value in read_settings().items() if value != before[name])
    return next((f"{name} changed from {old} to {new}" for name, old, new in changed), "")


def setting_changed_by(call: Callable[[], object]) -> str:
    """Return which setting a call changes, with or without gradients, and how, or an empty string."""
    for is_grad_enabled in (True, False):
        with restored_settings(), torch.set_grad_enabled(is_grad_enabled), suppress(Exception):
            before = read_settings()
            call()
            changed = changed_setting(before)
            if changed:
                return changed
    return ""


@contextmanager
def restored_settings() -> Iterator[None]:
    """Restore the settings of the process afterwards."""
    before = read_settings()
    try:
        yield
    finally:
        for name, value in read_settings().items():
            if value != before[name]:
                SETTINGS[name].restore(before[name])


def seed_torch(seed: int) -> None:
    """Seed the generators of torch that are in use.

    `torch.manual_seed` also queues the seed for each accelerator that is not in use yet, with the formatted stack of
    its caller. This takes a millisecond and more, which is as much as a law needs for an example.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # of torch
        torch.cuda.manual_seed_all(seed)


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run torch on one thread with the global generators seeded, and restore them and all settings afterwards.

    The tensors of the laws are small: handing them between threads costs more than the work, and many times more when
    several processes share the cores. The seeds matter for an encoder that draws from a global generator: its outcome
    must not depend on what was drawn before. An encoder that changes a setting, such as the default dtype, must not
    change the outcome of other laws or encoders.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with restored_settings(), torch.random.fork_rng(devices=[]):
            torch.set_num_threads(1)
            seed_torch(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
