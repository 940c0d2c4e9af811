"""The way to the service: a proxy that the environment names, however it is written."""

from __future__ import annotations

import asyncio
import base64

import pytest

from relationship_pipeline.errors import BadInput
from relationship_pipeline.sources.graph.transport import Reply, Transport

HOST = "graph.microsoft.com"
LOGIN = "svc:geheim"


def open_transport() -> Transport:
    return Transport(HOST, None, connect=2, read=2, whole=4)


@pytest.fixture(autouse=True)
def no_other_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_proxy_is_used_with_its_login_whether_its_scheme_is_written_or_not(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    heads: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> Reply:
        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}{LOGIN}@127.0.0.1:{port}")
            transport = open_transport()
            reply = await transport.send(f"https://{HOST}/v1.0/users", {}, None)
            await transport.close()
            return reply

    assert asyncio.run(main()) == Reply(0, b"", "ProxyError")
    assert heads[0].startswith(f"CONNECT {HOST}:443".encode())
    assert base64.b64encode(LOGIN.encode()) in heads[0]


@pytest.mark.parametrize(
    "value",
    ["ftp://{}@proxy.corp:8080", "http://{}@proxy.corp:port", "http://{}@", "svc://{}@proxy", "{}@:8080", "{}@[::1"],
)
def test_a_proxy_that_cannot_be_used_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value.format(LOGIN))
    with pytest.raises(BadInput, match="HTTPS_PROXY") as refused:
        open_transport()
    assert "geheim" not in str(refused.value) and "\n" not in str(refused.value)
    assert refused.value.__context__ is None, "nothing beneath it shows the value either"
