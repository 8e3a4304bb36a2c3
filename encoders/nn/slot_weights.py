"""Rules that turn logits into attention weights over slots: W = rule(M), with derivatives, in place.

The blockwise kernel keeps no weights for the backward pass but computes them again from the logits. It therefore needs
each rule three times: differentiable, in place, and as a vector-Jacobian product that reuses its buffers.
"""

from typing import Protocol

import torch
from torch import Tensor


class AttentionRule(Protocol):
    """Attention weights over slots, computed for each element on its own; logits and weights are `B x K x n`."""

    def weights(self, M: Tensor) -> Tensor:
        """Return the weights W of the logits `M`, by differentiable operations."""

    def weights_(self, M: Tensor) -> Tensor:
        """Return W; `M` may be overwritten. No graph is recorded."""

    def backward_(self, M: Tensor, dW: Tensor, buffer: Tensor, needs_weights: bool) -> None:
        """Replace the gradient for the weights by the gradient for the logits.

        ========  ===================  ==========================================
        argument  before               after
        ========  ===================  ==========================================
        M         logits               weights if `needs_weights`, else undefined
        dW        dL/dW                dL/dM
        buffer    undefined            undefined
        ========  ===================  ==========================================
        """


class SlotSigmoid:
    """Sigmoid attention normalised over slots (arXiv 2103.01615, eq. 3 and 4, and Algorithm 2, lines 10 and 11).

    A = sigmoid(M) + epsilon,  W_k = A_k / sum_l A_l
    """

    epsilon = 1e-8

    def weights(self, M: Tensor) -> Tensor:
        A = M.sigmoid() + self.epsilon
        return A / A.sum(1, keepdim=True)

    def weights_(self, M: Tensor) -> Tensor:
        A = M.sigmoid_().add_(self.epsilon)
        return A.div_(A.sum(1, keepdim=True))

    def backward_(self, M: Tensor, dW: Tensor, buffer: Tensor, needs_weights: bool) -> None:
        # With T = sum_l A_l: dL/dA_k = (dW_k - sum_l A_l dW_l / T) / T, and dL/dM_k = dL/dA_k sigmoid'(M_k).
        sigmoid = M.sigmoid_()
        A = torch.add(sigmoid, self.epsilon, out=buffer)
        total = A.sum(1, keepdim=True)
        dA = dW.sub_(A.mul_(dW).sum(1, keepdim=True).div_(total)).div_(total)
        torch.ops.aten.sigmoid_backward.grad_input(dA, sigmoid, grad_input=dW)
        if needs_weights:
            sigmoid.add_(self.epsilon).div_(total)


class SlotSoftmax:
    """Softmax over slots: W_k = exp(M_k) / sum_l exp(M_l)."""

    def weights(self, M: Tensor) -> Tensor:
        return M.softmax(1)

    def weights_(self, M: Tensor) -> Tensor:
        return M.softmax(1)

    def backward_(self, M: Tensor, dW: Tensor, buffer: Tensor, needs_weights: bool) -> None:
        # dL/dM_k = W_k (dW_k - sum_l W_l dW_l)
        W = torch.softmax(M, 1, out=buffer)
        dW.sub_(torch.mul(W, dW, out=M).sum(1, keepdim=True)).mul_(W)
        if needs_weights:
            M.copy_(W)
