"""Data sets: built-in ones, which need no network, the paper's, where they are present, and additional ones.

`choose(content, data)` returns the data set to use. Its `load` returns the same type as any other with that content.
"""

from mbcbench.datasets.base import Clouds as Clouds
from mbcbench.datasets.base import Content as Content
from mbcbench.datasets.base import DataSet as DataSet
from mbcbench.datasets.base import Digits as Digits
from mbcbench.datasets.base import Exemplars as Exemplars
from mbcbench.datasets.base import PatchDataSet as PatchDataSet
from mbcbench.datasets.base import Patches as Patches
from mbcbench.datasets.base import Split as Split
from mbcbench.datasets.cache import data_folder as data_folder
from mbcbench.datasets.catalogue import DATA_SETS as DATA_SETS
from mbcbench.datasets.catalogue import check_choice as check_choice
from mbcbench.datasets.catalogue import choice_of as choice_of
from mbcbench.datasets.catalogue import choose as choose
from mbcbench.datasets.catalogue import data_set as data_set
from mbcbench.datasets.mnist_5k import MNIST_5K as MNIST_5K
