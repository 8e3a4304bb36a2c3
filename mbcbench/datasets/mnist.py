"""The paper's MNIST."""

from collections.abc import Mapping
from typing import ClassVar

from mbcbench.datasets.idx import IDXDataSet


class MNIST(IDXDataSet):
    """60,000 digits to train on and 10,000 to test on."""

    name = "mnist"
    paper = True
    source = "MNIST, Y. LeCun, C. Cortes, C. Burges"
    licence = "CC BY-SA 3.0"
    folder = "MNIST"
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    checksums: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
