"""A WebSocket echo server and client of python3-websockets, as programs for pods.
ws.py serve PORT | ws.py echo URL TAG COUNT | ws.py close URL CODE | ws.py closed-by-server URL CODE"""

import asyncio
import json
import sys

import websockets


async def on_client(ws):
    """Echoes; "close CODE" makes the server close; what happened is one line when it ends."""
    tag, count = ws.request_headers.get("x-tag"), 0
    try:
        async for message in ws:
            if isinstance(message, str) and message.startswith("close "):
                await ws.close(int(message.split()[1]), "asked for")
                break
            count += 1
            await ws.send(message)
    except websockets.ConnectionClosedError:
        pass
    print(json.dumps({"tag": tag, "count": count, "code": ws.close_code, "reason": ws.close_reason}), flush=True)


async def serve(port):
    async with websockets.serve(on_client, ["0.0.0.0", "::"], int(port), max_size=None):
        print("serving", flush=True)
        await asyncio.Future()


async def echo(url, tag, count):
    """Sends count messages of many sizes without waiting for each answer; every answer is compared."""
    count = int(count)
    async with websockets.connect(url, extra_headers={"x-tag": tag}, max_size=None) as ws:
        def message(i):
            size = (i * 7919) % 2000 if i % 1000 else 200000
            return f"{tag} {i} " + "m" * size if i % 2 else f"{tag} {i} ".encode() + b"b" * size

        async def send():
            for i in range(count):
                await ws.send(message(i))
        sending = asyncio.create_task(send())
        same = 0
        for i in range(count):
            same += await ws.recv() == message(i)
        await sending
        pong = await ws.ping()
        await asyncio.wait_for(pong, 10)
    print(json.dumps({"tag": tag, "same": same, "code": ws.close_code}))


async def close(url, code):
    ws = await websockets.connect(url, extra_headers={"x-tag": f"close-{code}"})
    await ws.close(int(code), "bye")
    print(json.dumps({"code": ws.close_code}))


async def closed_by_server(url, code):
    ws = await websockets.connect(url, extra_headers={"x-tag": f"server-{code}"})
    await ws.send(f"close {code}")
    try:
        await ws.recv()
    except websockets.ConnectionClosed:
        pass
    print(json.dumps({"code": ws.close_code, "reason": ws.close_reason}))


async def idle(url, tag):
    """Stays until the connection goes."""
    ws = await websockets.connect(url, extra_headers={"x-tag": tag}, ping_interval=None)
    print("open", flush=True)
    try:
        await ws.recv()
    except websockets.ConnectionClosed:
        pass
    print(json.dumps({"code": ws.close_code}), flush=True)

if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:]))
