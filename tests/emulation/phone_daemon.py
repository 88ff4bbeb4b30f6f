"""The program that stands in for a phone's adbd: ``python -m tests.emulation.phone_daemon``.

Commands come as JSON lines on standard input: ``{"cut": true}``, ``{"authorized": false}``,
``{"banner": "device::…"}``; each is answered by a line. With the end of the input the phone is off.
"""

import argparse
import asyncio
import json
import sys
from typing import Any

from tests.emulation.phone_protocol import Link, Phone, Service
from tests.emulation.phone_shell import shell_service
from tests.emulation.phone_sync import sync_service

HOST = "127.0.0.1"


async def run(port: int, root: str, banner: str, enter: list[str]) -> None:
    """Serve until standard input ends; ``enter`` is the command of the phone's shell."""

    def find_service(name: str) -> Service | None:
        kind, _, command = name.partition(":")
        word, *options = kind.split(",")
        if word in ("shell", "exec"):
            return shell_service(enter, options, command)
        return sync_service(root) if name == "sync:" else None

    phone = Phone(banner, find_service)
    phone.authorized.set()
    links: set[Link] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, phone)
        links.add(link)
        await link.serve()
        links.discard(link)

    server = await asyncio.start_server(connected, HOST, port)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        obey(json.loads(line), phone, links)
        print("done", flush=True)
    server.close()
    for link in links:
        link.cut()


def obey(command: dict[str, Any], phone: Phone, links: set[Link]) -> None:
    """Do what the test says. What changes the greeting is heard by the next connection."""
    phone.banner = command.get("banner", phone.banner)
    authorized = command.get("authorized", phone.authorized.is_set())
    (phone.authorized.set if authorized else phone.authorized.clear)()
    if command.get("cut"):
        for link in links:
            link.cut()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", default="/", help="where the phone's file system lies")
    parser.add_argument("--banner", required=True)
    parser.add_argument("enter", nargs="+", help="the phone's shell, as a command")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.port, arguments.root, arguments.banner, arguments.enter))


if __name__ == "__main__":
    main()
