"""The exit codes of the sidecar's programs; 2, wrong arguments, is argparse's own."""

DRAINED = 0
CRASHED = 1
"""Another try may go better."""
PERMANENT = 3
"""Another try would end the same way: the settings, the checkpoint or this machine must change."""
PROTOCOL = 4
"""The protocol or its version was refused."""
