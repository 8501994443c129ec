"""Muon: momentum whose matrices are orthogonalised before each step, batched over matrices of one shape.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaling that matches AdamW's update size: Liu
et al. 2025, arXiv:2502.16982, section 2.2. The same update as ``torch.optim.Muon(adjust_lr_fn="match_rms_adamw")``
(a test compares), in a few batched products rather than hundreds of small ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearest semi-orthogonal matrices of g [N, R, C] by a quintic Newton-Schulz iteration in bfloat16."""
    x = g.bfloat16()
    wide = x.shape[-2] <= x.shape[-1]
    if not wide:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Muon for matrices only; parameters of one shape are updated together."""

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        groups: dict[Any, list[torch.nn.Parameter]] = defaultdict(list)
        for param in params:
            groups[param.shape].append(param)
        super().__init__(
            [{"params": group} for group in groups.values()],
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay},
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update; Nesterov momentum."""
        for group in self.param_groups:
            params = group["params"]
            grads = [param.grad for param in params]
            for param in params:
                if "momentum" not in self.state[param]:
                    self.state[param]["momentum"] = torch.zeros_like(param)
            momenta = [self.state[param]["momentum"] for param in params]
            torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
            looked = torch._foreach_lerp(grads, momenta, group["momentum"])
            updates = orthogonalise(torch.stack(looked)).to(params[0].dtype)
            rows, columns = params[0].shape
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(params, list(updates.unbind()), alpha=-group["lr"] * 0.2 * max(rows, columns) ** 0.5)
