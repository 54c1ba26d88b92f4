"""Llama layers with the same mathematics in fewer passes over memory.

On CPUs what is not a matrix product is bound by memory: the norm and the rotary embedding of transformers
write eleven temporaries per layer, and autograd keeps most of them. Here each is one autograd function
that keeps its input and recomputes the rest. The modules stay those of transformers, so their parameters
keep their names and ZeRO 3 its hooks; only their `forward` is another. With `compile` the compiler
fuses the same steps, and these are not used.
"""

from types import MethodType
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


def make_lean(model: Any) -> None:
    """Give the layers of a LlamaForCausalLM that attends by SDPA their lean forms, in place."""
    if model.config.model_type != "llama" or model.config._attn_implementation != "sdpa":
        return
    base = model.base_model
    norms = [base.norm]
    for layer in base.layers:
        norms += [layer.input_layernorm, layer.post_attention_layernorm]
        layer.self_attn.forward = MethodType(_attention, layer.self_attn)
    for norm in norms:
        norm.forward = MethodType(_norm, norm)


def _norm(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    return _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)


def _attention(
    self: Any,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    attention_mask: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As LlamaAttention without a cache; attention_mask: True or 0 where a key is seen."""
    shape = (*hidden_states.shape[:-1], -1, self.head_dim)
    queries, keys, values = (
        projection(hidden_states).view(shape).transpose(1, 2)
        for projection in (self.q_proj, self.k_proj, self.v_proj)
    )
    cosines, sines = (part[:, None, :, : self.head_dim // 2] for part in position_embeddings)
    mixed = scaled_dot_product_attention(
        _Rotation.apply(queries, cosines, sines),
        _Rotation.apply(keys, cosines, sines),
        values,
        attn_mask=attention_mask,
        is_causal=attention_mask is None,
        dropout_p=self.attention_dropout if self.training else 0.0,
        scale=self.scaling,
        enable_gqa=self.num_key_value_groups > 1,
    )
    return self.o_proj(mixed.transpose(1, 2).reshape(*hidden_states.shape[:-1], -1)), None


class _RMSNorm(torch.autograd.Function):
    """x / root mean square of x, times a weight (Zhang and Sennrich 2019); inside in fp32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (wide * inverse).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        width = x.shape[-1]
        wide_weight, wide_gradient = weight.float(), gradient.float()
        normal = x.float() * inverse
        product = wide_gradient * normal
        weight_gradient = product.view(-1, width).sum(0)
        dot = (product @ wide_weight).unsqueeze(-1)
        x_gradient = torch.mul(wide_gradient, wide_weight, out=product)
        x_gradient.addcmul_(normal, dot, value=-1 / width).mul_(inverse)
        return x_gradient.to(x.dtype), weight_gradient.to(weight.dtype), None


class _Rotation(torch.autograd.Function):
    """Rotary positions (Su et al. 2021): element i of the first half and of the second turn together."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turned(x, cosines, sines)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        return _turned(gradient, cosines, -sines), None, None


def _turned(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    turned = torch.empty_like(x)
    (first, second), (left, right) = x.chunk(2, -1), turned.chunk(2, -1)
    torch.mul(first, cosines, out=left).addcmul_(second, sines, value=-1)
    torch.mul(second, cosines, out=right).addcmul_(first, sines)
    return turned
