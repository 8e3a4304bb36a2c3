"""Data sets: those built in, which need no network, and the paper's where they are present; each loaded by a function.

`choose(kind, data)` says which serves: it gives a loader with the same result whichever data set that is.
"""

from mbcbench.data.cad import clouds as clouds
from mbcbench.data.catalogue import DATA_SETS as DATA_SETS
from mbcbench.data.catalogue import choose as choose
from mbcbench.data.catalogue import data_set as data_set
from mbcbench.data.dataset import Clouds as Clouds
from mbcbench.data.dataset import DataSet as DataSet
from mbcbench.data.dataset import Digits as Digits
from mbcbench.data.dataset import Exemplars as Exemplars
from mbcbench.data.dataset import Patches as Patches
from mbcbench.data.dataset import Split as Split
from mbcbench.data.kept import folder as folder
from mbcbench.data.mnist_5k import MNIST_5K as MNIST_5K
from mbcbench.data.mnist_5k import mnist_digits as mnist_digits
from mbcbench.data.photo_exemplars import exemplars as exemplars
from mbcbench.data.photographs import patches as patches
