"""Who may talk to a server that any page of any site can reach through the user's browser."""

import pytest

from edgepose.serve.access import refusal
from edgepose.serve.server import host_names

LOCAL = host_names("127.0.0.1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8008", "localhost:8008", "LOCALHOST", "[::1]:8008", "192.168.1.7:80"]
)
def test_addresses_and_this_machines_names_are_answered(host: str) -> None:
    assert refusal({"Host": host}, LOCAL) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8008", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("", "[::1", "localhost@evil.example"),
    ],
)
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    assert "does not answer to the name" in str(refusal({"Host": host}, LOCAL))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:9000", "http://127.0.0.1:80080", "null", ""],
)
def test_another_sites_page_is_refused(origin: str) -> None:
    headers = {"Host": "localhost:8008", "Origin": origin}
    assert "does not answer to pages" in str(refusal(headers, LOCAL))


def test_its_own_page_is_answered() -> None:
    assert refusal({"Host": "Localhost:8008", "Origin": "http://localhost:8008"}, LOCAL) is None


def test_the_name_of_the_machine_counts_only_where_others_may_come() -> None:
    assert refusal({"Host": "kiosk.local:8008"}, LOCAL) is not None
    assert refusal({"Host": "kiosk.local:8008"}, host_names("kiosk.local")) is None
    assert len(host_names("0.0.0.0")) > len(LOCAL)
