"""A law is a function of an encoder and an example: two encodings that should be equal."""

from mbcbench import Comparison, ExampleData, Law, Subject
from mbcbench.verify.law import Classes


def check_my_law(subject: Subject, data: ExampleData) -> Comparison:
    """Replace this by the statement, as in: doubling every element doubles the encoding.

    Source: the definition of a homogeneous function.

    Why it matters: with such an encoder the unit of the data does not matter.

    How to fix a failure: use no biases, and no nonlinearity but ReLU.
    """
    doubled = subject.encode(2 * data.x)
    return subject.compare(doubled, 2 * subject.encode(data.x), data.x)


LAW = Law(
    id="PLUGIN_NAME",
    check=check_my_law,
    classes=Classes("homogeneous", "not homogeneous"),
)
