"""The bare pipeline: only what no engine can avoid. The limit that the engine is measured against.

One grpc.aio call (or one message of a stream), one signed POST to the 顺丰 simulator, parse, two group-committed
SQLite writes at synchronous=FULL, reply. No validation, routing, events, limits, metrics or recovery.

    python -m benchmarks.bare --carrier URL --db FILE     prints {"grpc_port": …}, serves until its stdin closes
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import sys
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import md5
from typing import Any
from urllib.parse import quote_plus

import apsw
import grpc
import msgspec
import uvloop
from pyreqwest.client import ClientBuilder

from crossdock.v1 import core_pb2, order_service_pb2, order_service_pb2_grpc

pb = order_service_pb2


class Writer(threading.Thread):
    """Commits what has queued, tells the loop once per batch."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.queue: queue.SimpleQueue[tuple[bytes, bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self._path, self._loop = path, loop

    def run(self) -> None:
        """Drain the queue for ever."""
        sys.setswitchinterval(0.0005)
        db = apsw.Connection(self._path)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE o(k BLOB, v BLOB)"):
            db.execute(statement).fetchall()
        while True:
            batch = [self.queue.get()]
            while len(batch) < 256 and not self.queue.empty():
                batch.append(self.queue.get())
            db.execute("BEGIN IMMEDIATE")
            for key, value, _ in batch:
                db.execute("INSERT INTO o VALUES(?,?)", (key, value))
            db.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._tell, [future for _, _, future in batch])

    @staticmethod
    def _tell(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)


class Bare(order_service_pb2_grpc.OrderServiceServicer):
    """The pipeline."""

    def __init__(self, carrier: str, account: dict[str, str], db: str) -> None:
        self._url, self._account = carrier, account
        self._client = ClientBuilder().build()
        self._writer = Writer(db, asyncio.get_running_loop())
        self._writer.start()

    async def CreateOrder(self, request: pb.CreateOrderRequest, context: object) -> pb.CreateOrderResponse:
        """One order."""
        return pb.CreateOrderResponse(order=await self._book(request.order))

    async def StreamCreateOrders(  # type: ignore[override]  # answers with context.write, as the engine does
        self, request_iterator: AsyncIterator[pb.StreamCreateOrdersRequest], context: Any
    ) -> None:
        """Many orders, 256 at a time."""
        window, writing, tasks = asyncio.Semaphore(256), asyncio.Lock(), set()

        async def one(item: pb.StreamCreateOrdersRequest) -> None:
            order = await self._book(item.order)
            result = pb.OrderResult(created=pb.CreateOrderResponse(order=order))
            async with writing:
                await context.write(pb.StreamCreateOrdersResponse(index=item.index, result=result))
            window.release()

        async for item in request_iterator:
            await window.acquire()
            task = asyncio.create_task(one(item))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _book(self, order: core_pb2.Order) -> core_pb2.Order:
        key = uuid.uuid4()
        await self._write(key.bytes, order.SerializeToString())
        body = msgspec.json.encode(_create_body(order, key.hex, self._account["monthly_card"])).decode()
        stamp = str(time.time_ns() // 1_000_000)
        signed = quote_plus(body + stamp + self._account["check_word"], safe="*").replace("~", "%7E")
        form = {
            "partnerID": self._account["partner_id"],
            "requestID": uuid.uuid4().hex,
            "serviceCode": "EXP_RECE_CREATE_ORDER",
            "timestamp": stamp,
            "msgDigest": b64encode(md5(signed.encode()).digest()).decode(),
            "msgData": body,
        }
        payload = "&".join(f"{k}={quote_plus(v)}" for k, v in form.items()).encode()
        request = self._client.post(self._url).body_bytes(payload)
        answer = await request.header("content-type", "application/x-www-form-urlencoded").build().send()
        outer = msgspec.json.decode(await answer.bytes())
        inner = msgspec.json.decode(outer["apiResultData"])
        if inner["success"] is not True:
            raise RuntimeError(inner["errorCode"])
        number = inner["msgData"]["waybillNoInfoList"][0]["waybillNo"]
        await self._write(key.bytes, number.encode())
        booking = core_pb2.Booking(carrier="sf", waybill_number=number)
        return core_pb2.Order(order_id=str(key), state=core_pb2.Order.STATE_BOOKED, booking=booking)

    async def _write(self, key: bytes, value: bytes) -> None:
        future = asyncio.get_running_loop().create_future()
        self._writer.queue.put((key, value, future))
        await future


def _create_body(order: core_pb2.Order, reference: str, monthly_card: str) -> dict[str, Any]:
    contacts = [
        {
            "contactType": kind,
            "contact": party.contact.name,
            "mobile": party.contact.phone,
            "country": "CN",
            "province": party.address.province,
            "city": party.address.city,
            "county": party.address.district,
            "address": party.address.street,
        }
        for kind, party in ((1, order.shipper), (2, order.recipient))
    ]
    return {
        "language": "zh-CN",
        "orderId": reference,
        "monthlyCard": monthly_card,
        "payMethod": 1,
        "expressTypeId": 2,
        "parcelQty": 1,
        "totalWeight": order.parcels[0].weight_g / 1000,
        "isReturnRoutelabel": 1,
        "cargoDetails": [{"name": item.title, "count": item.quantity} for item in order.parcels[0].items],
        "contactInfoList": contacts,
    }


async def _serve(carrier: str, db: str) -> None:
    from crossdock_sf.simulator import SfSimulator

    account = SfSimulator.account(carrier)
    secrets = {key: secret.reveal() for key, secret in account.secrets.items()}
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    bare = Bare(  # type: ignore[abstract]  # two methods are all it serves
        account.base_url, {**account.settings, **secrets}, db
    )
    order_service_pb2_grpc.add_OrderServiceServicer_to_server(bare, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f'{{"grpc_port":{port}}}', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--carrier", required=True)
    parser.add_argument("--db", required=True)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(arguments.carrier, arguments.db))
