"""The network: DalleBart and the VQGAN, as upstream's checkpoints hold them."""
