"""The Python side of dalle-server: owns one device and the model, answers the server."""

__version__ = "0.1.0"
