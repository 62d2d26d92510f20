"""The sampling settings that a checkpoint brings or takes from upstream, and their limits."""

from collections.abc import Mapping
from dataclasses import fields

from sidecar.model.json_values import ConfigError, read_number, read_typed
from sidecar.wire.messages import SamplingLimits, SamplingSettings

# transformers' defaults (the published config files name none of these) and the notebook's
# condition scale.
UPSTREAM_SAMPLING = SamplingSettings(cond_scale=10.0, temperature=1.0, top_k=50, top_p=1.0)

# Upstream's own bounds where it has some; the upper ends only keep float32 arithmetic finite.
SAMPLING_LIMITS = SamplingLimits(
    cond_scale=(0.0, 100.0), temperature=(0.01, 100.0), top_k=(0, 2**31 - 1), top_p=(0.0, 1.0)
)


def read_sampling(values: Mapping[str, object]) -> SamplingSettings:
    """Read a checkpoint's `sampling.json` (keys condScale, temperature, topK, topP).

    Raises:
        ConfigError: a missing or mistyped key, or a value outside `SAMPLING_LIMITS`.
    """
    settings = SamplingSettings(
        cond_scale=read_number(values, "condScale"),
        temperature=read_number(values, "temperature"),
        top_k=read_typed(values, "topK", int),
        top_p=read_number(values, "topP"),
    )
    misfit = find_misfit(settings)
    if misfit is not None:
        raise ConfigError(misfit)
    return settings


def find_misfit(settings: SamplingSettings) -> str | None:
    """Say which setting is outside `SAMPLING_LIMITS`; None when all are inside or left open."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        low, high = getattr(SAMPLING_LIMITS, field.name)
        if value is not None and not low <= value <= high:
            return f"{field.name} is {value}, expected {low} to {high}"
    return None
