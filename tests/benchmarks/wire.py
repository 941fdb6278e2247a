"""HTTP by hand, for clients that must cost less than what they measure."""

import asyncio
from typing import Any

import orjson


def request(path: str, body: dict[str, Any]) -> bytes:
    """A POST request as it goes over the wire."""
    content = orjson.dumps(body)
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(content)) + content


async def answer(reader: asyncio.StreamReader) -> Any:
    """The next answer's JSON; anything but a 200 is an error."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    return orjson.loads(await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0])))
