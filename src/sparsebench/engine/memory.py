"""How much memory a batch of jobs takes beside the weights, and how much there is."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch
from transformers import PreTrainedModel

from sparsebench.engine.chunks import CHUNK_TOK
from sparsebench.engine.load import splits_heads
from sparsebench.engine.rows import Job

GPU_SHARE = 0.85  # of free memory that a batch may plan on; the rest is for fragments and the methods' estimates
CPU_SHARE = 0.25  # other cells run beside this one
JOB_SHARE = 0.8  # of what a cluster's job may still take
JOB_BYTES = 400 * 2**20  # Snakemake's two processes inside a job
STATE_SHARE = 0.25  # what methods keep of a prompt, as a share of its KV cache; page bounds take 1/8 at most


@dataclass(frozen=True)
class Memory:
    """Bytes by shape, from the model's config: what is held of a job, and what its prefill needs for a while."""

    layers: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocab: int
    itemsize: int

    @classmethod
    def of(cls, model: PreTrainedModel, ranks: int = 1) -> Memory:
        """What the config of ``model`` says, for each of ``ranks`` processes that it is split over."""
        config = model.config.get_text_config()
        heads = int(config.num_attention_heads)
        return cls(
            layers=int(config.num_hidden_layers),
            kv_heads=int(getattr(config, "num_key_value_heads", None) or heads)
            // (ranks if splits_heads(config) else 1),
            head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
            hidden=int(config.hidden_size),
            vocab=int(config.vocab_size),
            itemsize=model.dtype.itemsize,
        )

    @property
    def kv_bytes_per_tok(self) -> int:
        """Keys and values of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.itemsize

    def held(self, job: Job) -> int:
        """KV cache and method state of the prompt; per row its suffix and logits."""
        kv, length = self.kv_bytes_per_tok, len(job.question.ids)
        rows = len(job.decode) * (job.question.max_new_tok * kv + 8 * self.vocab)
        return round(length * kv * (1 + STATE_SHARE) + rows)

    def lists(self, jobs: Sequence[Job]) -> int:
        """Index lists (int32) of a batch: every row's, a dense one's too, are as wide as the widest."""
        budgets = ((len(job.question.ids), setting.budget) for job in jobs for setting in job.decode)
        widest = max((length * budget for length, budget in budgets if budget < 1), default=0)
        return round(4 * self.layers * self.kv_heads * sum(len(job.decode) for job in jobs) * widest)

    def working(self, job: Job) -> int:
        """Hidden states, queries and attention outputs of the whole prompt, and the MLP's tensors of one chunk."""
        length = len(job.question.ids)
        return self.itemsize * self.hidden * (8 * length + 16 * min(length, CHUNK_TOK))


def free_bytes(device: torch.device) -> int:
    """What a batch may use of the memory that is free now."""
    if device.type != "cuda":
        free = CPU_SHARE * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if limit := os.environ.get("SLURM_MEM_PER_NODE"):
            # SLURM kills jobs above it: what they took so far, and Snakemake beside them, counts.
            left = int(limit) * 2**20 - psutil.Process().memory_info().rss - JOB_BYTES
            free = min(free, JOB_SHARE * max(left, 0))
        return int(free)
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(GPU_SHARE * (free + unused))


def release(device: torch.device) -> None:
    """Give back what a failed batch left behind."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
