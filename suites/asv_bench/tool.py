"""Time of checking a law, and of starting the command line."""

import subprocess
import sys

import mbcbench


class Check:
    params = (["mbc.partition", "symmetry.permutation"],)
    param_names = ("law",)
    timeout = 300

    def time_check(self, law: str) -> None:
        mbcbench.check("sse-random", laws=[law], examples=20)


class Start:
    def time_help(self) -> None:
        subprocess.run([sys.executable, "-m", "mbcbench.cli.main", "--help"], check=True, capture_output=True)

    def time_list(self) -> None:
        subprocess.run([sys.executable, "-m", "mbcbench.cli.main", "list"], check=True, capture_output=True)
