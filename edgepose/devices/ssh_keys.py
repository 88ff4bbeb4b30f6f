"""Logging in: the user's key files and agent, never a password."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import paramiko

from edgepose.devices.ssh_config import SshAddress
from edgepose.errors import AuthenticationError


def check_identity_file(path: Path) -> None:
    """Raise AuthenticationError where the private key at ``path`` is readable by others."""
    mode = path.stat().st_mode
    if mode & 0o077:
        raise AuthenticationError(
            f"identity file {path} is readable by others (mode {mode & 0o777:o})",
            hint=f"chmod 600 {path}",
        )


def log_in(transport: paramiko.Transport, address: SshAddress) -> None:
    """Offer keys until one is accepted. Raises AuthenticationError with what was tried."""
    tried: list[str] = []
    with contextlib.closing(paramiko.Agent()) as agent:
        if _accepted(transport, address, agent, tried):
            return
    raise AuthenticationError(
        f"{address.user}@{address.label} refused us; tried: {', '.join(tried) or 'no key found'}",
        hint=f"Install your public key there: `ssh-copy-id {address.user}@{address.alias}`.",
    )


def _accepted(
    transport: paramiko.Transport, address: SshAddress, agent: paramiko.Agent, tried: list[str]
) -> bool:
    for label, key in _candidates(address, agent, tried):
        tried.append(label)
        try:
            if not transport.auth_publickey(address.user, key):
                return True
            tried[-1] += " (accepted, but more than a key is asked for)"
        except paramiko.BadAuthenticationType as error:
            tried.append(f"the host accepts only {', '.join(error.allowed_types)}")
            break
        except paramiko.AuthenticationException:
            pass
        if not transport.is_active():
            tried.append("the host closed the connection")
            break
    return False


def _candidates(
    address: SshAddress, agent: paramiko.Agent, notes: list[str]
) -> Iterator[tuple[str, paramiko.PKey]]:
    """Keys with a label, files first; what cannot be used is added to ``notes``."""
    agent_keys = {key.asbytes(): key for key in agent.get_keys()}
    offered: set[bytes] = set()
    for path in address.identity_files:
        key = _from_agent(path, agent_keys)
        if key is None and path.is_file():
            check_identity_file(path)
            key = _load(path, notes)
        elif key is None and address.keys_named:
            notes.append(f"{path} (does not exist)")
        if key is not None and key.asbytes() not in offered:
            offered.add(key.asbytes())
            yield str(path), key
    for blob, agent_key in agent_keys.items():
        if not address.keys_named and blob not in offered:
            yield f"agent key {agent_key.fingerprint}", agent_key


def _from_agent(path: Path, agent: dict[bytes, paramiko.AgentKey]) -> paramiko.PKey | None:
    """The agent's copy of a key file, found by its public half: it needs no passphrase."""
    try:
        kind, data = Path(f"{path}.pub").read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError):
        return None
    for key in agent.values():
        if (key.get_name(), key.get_base64()) == (kind, data):
            return key
    return None


def _load(path: Path, notes: list[str]) -> paramiko.PKey | None:
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        # cryptography raises TypeError for an encrypted key without a password.
        notes.append(f"{path} (needs a passphrase: `ssh-add {path}`)")
    except (paramiko.SSHException, ValueError, OSError) as error:
        notes.append(f"{path} (cannot be read: {error})")
    return None
