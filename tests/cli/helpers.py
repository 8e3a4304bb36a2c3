"""What the tests of the commands share."""

from pathlib import Path

from tests.conftest import Command

BROKEN = Path(__file__).parents[1] / "broken_encoders.py"
HONEST = f"{BROKEN}:Honest"


def run_only(command: Command, encoder: str, *more: str) -> tuple[int, str, str]:
    return command("run", "--only-encoders", "--encoder", encoder, "--suite", "encode", *more)
