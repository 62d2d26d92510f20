"""What a failed request to the hub means here: a HubError that says what to do."""

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sidecar.hub.address import HubAddress
from sidecar.hub.errors import HubError


def to_hub_error(error: Exception, address: HubAddress) -> HubError:
    """The failure that an error of a request to the hub is."""
    place = constants.ENDPOINT
    match error:
        case OfflineModeIsEnabled():
            return HubError(
                "checkpoint_not_found",
                f"{address} is not in the Hugging Face cache ({constants.HF_HUB_CACHE}) and "
                "HF_HUB_OFFLINE is set: unset it for the first start, or copy the cache here",
            )
        case GatedRepoError():
            return HubError(
                "hub_refused",
                f"{address.repo} asks for an agreement: accept it at {place}/{address.repo}, then "
                "set HF_TOKEN to a token of that account",
            )
        case RevisionNotFoundError():
            return HubError(
                "checkpoint_not_found",
                f"{address.repo} has no revision {address.revision}: check what stands behind "
                "the @",
            )
        case RepositoryNotFoundError() if error.response.status_code == 404:
            return HubError(
                "checkpoint_not_found",
                f"there is no model {address.repo} at {place}: check the name, or set HF_TOKEN if "
                "it is private",
            )
        case EntryNotFoundError():
            return HubError(
                "checkpoint_not_found", f"a file of {address} is gone from {place}: try again"
            )
        case HfHubHTTPError():
            return _of_status(error.response.status_code, address)
        case _:
            return HubError(
                "hub_unreachable",
                f"{place} cannot be reached for {address.repo} ({error or type(error).__name__}): "
                "check the network, HTTPS_PROXY and HF_ENDPOINT; a start without a network needs "
                "the files in the cache",
            )


def _of_status(status: int, address: HubAddress) -> HubError:
    place = constants.ENDPOINT
    if status in (401, 403):
        return HubError(
            "hub_refused",
            f"{place} refused {address.repo} with status {status}: check the name (a model that "
            "does not exist is refused too), or set HF_TOKEN to a token that may read it",
        )
    if status == 404:
        return HubError("checkpoint_not_found", f"there is no {address} at {place}: check the name")
    if status in (408, 429) or status >= 500:
        return HubError(
            "hub_unreachable",
            f"{place} has trouble of its own (status {status}) with {address.repo}",
        )
    return HubError("hub_refused", f"{place} refused {address.repo} with status {status}")
