"""Really free what evicting methods drop: each evicting row keeps its own short cache."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsebench.engine.fanout import FanoutPass
from sparsebench.engine.lists import ALL, Lists
from sparsebench.engine.store import PromptStore


def _own_entries(source: Tensor, lists: Lists, row: int) -> Tensor:
    """The entries [G, n, D] that a row keeps; n is the largest count of its KV heads, shorter lists repeat entry 0."""
    width = int(lists.count[row].max())
    keep = torch.arange(width, device=source.device) < lists.count[row][:, None]
    index = torch.where(keep, lists.tokens[row, :, :width], lists.tokens[row, :, :1]).long() + lists.span[row, 0].long()
    return source.gather(1, index[..., None].expand(-1, -1, source.shape[-1]))


def compact(run: FanoutPass, store: PromptStore) -> None:
    """Move every evicting row onto a cache of its own and drop prompts that no other row reads.

    Only global layers change; a sliding-window layer is dense in all rows. The generated tokens are those of the shared
    cache, since attention does not depend on the order of its keys.
    """
    for layer in store.layers():
        lists, (k, v) = run.lists[layer], store.layer(layer)
        whole = (lists.count == ALL).any(1).tolist()
        evicting = [i for i, r in enumerate(run.rows) if r.setting.method.axes.cache == "evict" and not whole[i]]
        if not evicting:
            continue
        shared = sorted({row.prompt for i, row in enumerate(run.rows) if i not in set(evicting)})
        pieces: list[tuple[Tensor, Tensor]] = []
        place: dict[int, tuple[int, int]] = {}  # by row, and by -1 - prompt for shared prompts
        end = 0
        for prompt in shared:
            start, stop = store.span(prompt)
            pieces.append((k[:, start:stop], v[:, start:stop]))
            place[-1 - prompt] = (end, end := end + stop - start)
        for row in evicting:
            own = (_own_entries(k, lists, row), _own_entries(v, lists, row))
            pieces.append(own)
            place[row] = (end, end := end + own[0].shape[1])
            lists.tokens[row, :, : own[0].shape[1]] = torch.arange(own[0].shape[1], device=k.device)
        spans = [place.get(i, place.get(-1 - row.prompt)) for i, row in enumerate(run.rows)]
        lists.span = torch.tensor(spans, dtype=torch.int32, device=k.device)
        store.replace(layer, torch.cat([p[0] for p in pieces], 1), torch.cat([p[1] for p in pieces], 1))
