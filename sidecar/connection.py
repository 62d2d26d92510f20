"""How a sidecar reaches the server: the socket, and the keys where it is encrypted."""

from dataclasses import dataclass

import zmq

from sidecar.wire.frames import MAX_PAYLOAD_BYTES

HIGH_WATER_MARK = 1000


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """The keys of an encrypted connection, in ZeroMQ's text form (40 characters of Z85)."""

    server_key: str
    public_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is and how this process proves that the server started it."""

    endpoint: str
    identity: str
    token: str
    generation: int
    keys: CurveKeys | None = None


def describe_obstacle(connection: Connection) -> str | None:
    """Why this Python cannot connect at all, in a sentence; None when it can."""
    if connection.keys is None or zmq.has("curve"):
        return None
    return (
        "the ZeroMQ of this Python was built without CURVE, and tcp is never used unencrypted; "
        "use --sidecar_transport ipc"
    )


def connect(context: zmq.Context[zmq.Socket[bytes]], connection: Connection) -> zmq.Socket[bytes]:
    """Open the socket; it connects in the background, for as long as it takes."""
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, connection.identity.encode())
    dealer.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES)
    dealer.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    dealer.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    dealer.setsockopt(zmq.IPV6, int("[" in connection.endpoint))
    if connection.keys is not None:
        dealer.setsockopt(zmq.CURVE_SERVERKEY, connection.keys.server_key.encode())
        dealer.setsockopt(zmq.CURVE_PUBLICKEY, connection.keys.public_key.encode())
        dealer.setsockopt(zmq.CURVE_SECRETKEY, connection.keys.secret_key.encode())
    dealer.connect(connection.endpoint)
    return dealer
