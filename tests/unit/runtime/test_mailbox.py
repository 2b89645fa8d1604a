import asyncio

from actors.runtime.mailbox import Mailbox, WhenFull


async def test_mailbox_returns_items_in_order() -> None:
    box = Mailbox[int]("test", 9)
    for number in range(5):
        assert box.put(number)
    assert await box.get() == 0
    assert box.get_nowait_batch(3) == [1, 2, 3]
    assert box.get_nowait_batch(3) == [4]
    assert box.get_nowait_batch(3) == []


async def test_mailbox_wakes_a_waiting_receiver() -> None:
    box = Mailbox[str]("test", 9)
    receiving = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    box.put("x")
    assert await receiving == "x"


async def test_full_mailbox_refuses() -> None:
    box = Mailbox[int]("test", 2)
    assert [box.put(n) for n in range(3)] == [True, True, False]
    assert box.get_nowait_batch(9) == [0, 1]


async def test_full_mailbox_drops_the_oldest_where_told() -> None:
    box = Mailbox[int]("test", 2, WhenFull.DROP_OLDEST)
    assert all(box.put(n) for n in range(5))
    assert box.get_nowait_batch(9) == [3, 4]


async def test_full_mailbox_blocks_senders_in_their_order() -> None:
    box = Mailbox[int]("test", 1, WhenFull.BLOCK)
    senders = [asyncio.create_task(box.put_wait(n)) for n in range(4)]
    assert [await box.get() for _ in range(4)] == [0, 1, 2, 3]
    await asyncio.gather(*senders)


async def test_cancelled_sender_leaves_the_mailbox_usable() -> None:
    box = Mailbox[int]("test", 1, WhenFull.BLOCK)
    box.put(0)
    impatient = asyncio.create_task(box.put_wait(1))
    patient = asyncio.create_task(box.put_wait(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    assert await box.get() == 0
    await patient
    assert await box.get() == 2
