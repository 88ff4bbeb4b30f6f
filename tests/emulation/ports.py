"""TCP ports of this machine."""

import socket

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nobody has at this moment; sshd cannot be handed an open one."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def ssh_answers(port: int) -> bool:
    """Whether an SSH server greets on this port."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
