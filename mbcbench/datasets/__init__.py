"""Data sets: those built in, which need no network, and the paper's where they are present; each loaded by a function.

`choose(kind, data)` says which serves: it gives a loader with the same result whichever data set that is.
"""

from mbcbench.datasets.base import Clouds as Clouds
from mbcbench.datasets.base import DataSet as DataSet
from mbcbench.datasets.base import Digits as Digits
from mbcbench.datasets.base import Exemplars as Exemplars
from mbcbench.datasets.base import Patches as Patches
from mbcbench.datasets.base import Split as Split
from mbcbench.datasets.cache import folder as folder
from mbcbench.datasets.cad import clouds as clouds
from mbcbench.datasets.catalogue import DATA_SETS as DATA_SETS
from mbcbench.datasets.catalogue import choose as choose
from mbcbench.datasets.catalogue import data_set as data_set
from mbcbench.datasets.mnist_5k import MNIST_5K as MNIST_5K
from mbcbench.datasets.mnist_5k import mnist_digits as mnist_digits
from mbcbench.datasets.photo_exemplars import exemplars as exemplars
from mbcbench.datasets.photographs import patches as patches
