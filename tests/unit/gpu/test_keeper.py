import threading

import pytest

from actors.gpu.keeper import Keeper


async def test_keeper_does_everything_in_one_thread_that_lives_on() -> None:
    keeper = Keeper("kept")
    first = await keeper.do(threading.current_thread)
    assert first is await keeper.do(threading.current_thread)
    assert first.is_alive()
    keeper.dismiss()
    first.join(10)
    assert not first.is_alive()


async def test_keeper_raises_what_the_job_raises_and_goes_on() -> None:
    keeper = Keeper("kept")
    with pytest.raises(ZeroDivisionError):
        await keeper.do(lambda: 1 // 0)
    assert await keeper.do(lambda: 1) == 1
    keeper.dismiss()
