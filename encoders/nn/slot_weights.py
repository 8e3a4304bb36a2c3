"""How logits become weights over slots: by equations, in place, and backwards."""

from typing import Protocol

import torch
from torch import Tensor


class AttentionRule(Protocol):
    """Weights over slots, each element's on its own. Logits and weights are `B x K x n`."""

    def weights(self, M: Tensor) -> Tensor:
        """W, by differentiable operations."""

    def weights_(self, M: Tensor) -> Tensor:
        """W in the place of M, without a graph."""

    def backward_(self, M: Tensor, dW: Tensor, W: Tensor, needs_weights: bool) -> None:
        """In the place of dW, the gradient for W, that for M; in the place of W, if `needs_weights`, W. M is lost."""


class SlotSigmoid:
    """A = sigmoid(M) + 1e-8, W = A / (sum of A over slots): eq. 3 and 4 of arXiv 2103.01615."""

    epsilon = 1e-8

    def weights(self, M: Tensor) -> Tensor:
        A = M.sigmoid() + self.epsilon
        return A / A.sum(1, keepdim=True)

    def weights_(self, M: Tensor) -> Tensor:
        A = M.sigmoid_().add_(self.epsilon)
        return A.div_(A.sum(1, keepdim=True))

    def backward_(self, M: Tensor, dW: Tensor, W: Tensor, needs_weights: bool) -> None:
        sigmoid = M.sigmoid_()
        A = torch.add(sigmoid, self.epsilon, out=W)
        total = A.sum(1, keepdim=True)
        dA = dW.sub_(A.mul_(dW).sum(1, keepdim=True).div_(total)).div_(total)
        torch.ops.aten.sigmoid_backward.grad_input(dA, sigmoid, grad_input=dW)
        if needs_weights:
            torch.add(sigmoid, self.epsilon, out=W).div_(total)


class SlotSoftmax:
    """W = softmax of M over slots."""

    def weights(self, M: Tensor) -> Tensor:
        return M.softmax(1)

    def weights_(self, M: Tensor) -> Tensor:
        return M.softmax(1)

    def backward_(self, M: Tensor, dW: Tensor, W: Tensor, needs_weights: bool) -> None:
        torch.softmax(M, 1, out=W)
        dW.sub_(torch.mul(W, dW, out=M).sum(1, keepdim=True)).mul_(W)
