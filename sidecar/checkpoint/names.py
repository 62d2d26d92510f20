"""Upstream's parameter names against ours; the only file that knows the foreign ones.

Scanned files stack all layers of a side on axis 0, unrolled files name each layer. Flax numbers a
layer's modules class by class in the order of their creation. Which number a norm has thus depends
on which of the places before it have one; `upstream_names` below counts.
"""

from collections.abc import Iterable, Mapping

from sidecar.checkpoint.msgpack_index import LeafPath
from sidecar.model.config import ModelConfig, Side, Variant
from sidecar.model.layers import NormPlace
from sidecar.model.variants import NORM_PLACES

LAYER_CLASS: Mapping[Side, str] = {
    "encoder": "FlaxBartEncoderLayer",
    "decoder": "FlaxBartDecoderLayer",
}
_STACKS = frozenset(f"{name}s" for name in LAYER_CLASS.values())

# The norms and attentions of a layer in upstream's order of creation, with our names.
_LAYER_NORMS: Mapping[Side, Mapping[str, NormPlace]] = {
    "encoder": {
        "pre_attention_norm": "before attention",
        "post_attention_norm": "after attention",
        "output_norm": "after every sixth layer",
    },
    "decoder": {
        "pre_self_norm": "before attention",
        "post_self_norm": "after attention",
        "pre_cross_norm": "before attention",
        "post_cross_norm": "after attention",
        "output_norm": "after every sixth layer",
    },
}
_FEED_FORWARD_NORMS: Mapping[str, NormPlace] = {
    "norm": "before feed-forward",
    "inner_norm": "inside feed-forward",
    "outer_norm": "after feed-forward",
}
_ATTENTIONS: Mapping[Side, tuple[str, ...]] = {
    "encoder": ("attention",),
    "decoder": ("self_attention", "cross_attention"),
}


def upstream_names(variant: Variant, side: Side) -> dict[LeafPath, LeafPath]:
    """Upstream's module names, inside a side and inside a layer of it, against ours."""
    places = NORM_PLACES[variant.ln_positions, side]
    norm_class = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm"}[variant.ln_type]

    def number_norms(norms: Mapping[str, NormPlace]) -> Iterable[tuple[str, str]]:
        present = [ours for ours, place in norms.items() if place in places]
        return ((f"{norm_class}_{number}", ours) for number, ours in enumerate(present))

    names: dict[LeafPath, LeafPath] = {
        ("final_ln",): ("final_norm",),
        ("layernorm_embedding",): ("embedding_norm",),
    }
    for theirs, ours in number_norms(_LAYER_NORMS[side]):
        names[theirs,] = (ours,)
    for number, ours in enumerate(_ATTENTIONS[side]):
        attention = f"FlaxBartAttention_{number}"
        names[attention, "mid_layernorm"] = (ours, "mid_norm")
        names[attention, "head_scale"] = (ours, "head_scale", "scale")
        names[attention,] = (ours,)
    block = "GLU_0" if variant.use_glu else "FFN_0"
    for theirs, ours in number_norms(_FEED_FORWARD_NORMS):
        names[block, theirs] = ("feed_forward", ours)
    for number, ours in enumerate(("gate", "up", "down") if variant.use_glu else ("up", "down")):
        names[block, f"Dense_{number}"] = ("feed_forward", ours)
    return names


class DalleBartNames:
    """Which leaf of a DalleBart file is which parameter of ours."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._names: Mapping[Side, Mapping[LeafPath, LeafPath]] = {
            "encoder": upstream_names(config.variant, "encoder"),
            "decoder": upstream_names(config.variant, "decoder"),
        }

    def targets(self, leaf: LeafPath) -> list[LeafPath]:
        """Where in our tree a leaf of the file belongs: one place, or one a layer for a stack."""
        match leaf:
            case ("model", ("encoder" | "decoder") as side, "layers", layer, *rest):
                inner = replace_prefix(tuple(rest), self._names[side].items())
                if is_stack(leaf):
                    layers = range(self._config.layers(side))
                    return [(side, f"layers_{index}", *inner) for index in layers]
                index = layer.removeprefix(f"{LAYER_CLASS[side]}_")
                return [(side, f"layers_{index}", *inner)]
            case ("model", ("encoder" | "decoder") as side, *rest):
                return [(side, *replace_prefix(tuple(rest), self._names[side].items()))]
            case _:
                return [leaf]

    def name(self, target: LeafPath, *, is_scanned: bool) -> LeafPath:
        """What a file calls a parameter of ours; the inverse of `targets`."""
        match target:
            case (("encoder" | "decoder") as side, layer, *rest) if layer.startswith("layers_"):
                number = "s" if is_scanned else layer.removeprefix("layers")
                inner = self._theirs(side, tuple(rest))
                return ("model", side, "layers", f"{LAYER_CLASS[side]}{number}", *inner)
            case (("encoder" | "decoder") as side, *rest):
                return ("model", side, *self._theirs(side, tuple(rest)))
            case _:
                return target

    def _theirs(self, side: Side, ours: LeafPath) -> LeafPath:
        names = self._names[side].items()
        return replace_prefix(ours, ((mine, theirs) for theirs, mine in names))


def is_stack(leaf: LeafPath) -> bool:
    """Whether a leaf of a file holds all layers of a side."""
    return any(part in _STACKS for part in leaf)


def replace_prefix(leaf: LeafPath, names: Iterable[tuple[LeafPath, LeafPath]]) -> LeafPath:
    """`leaf` with the first of the prefixes that fits replaced by its partner."""
    for prefix, partner in names:
        if leaf[: len(prefix)] == prefix:
            return (*partner, *leaf[len(prefix) :])
    return leaf
