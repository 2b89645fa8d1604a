"""Measures the page in a long chat: `python -m tests.e2e.frames http://127.0.0.1:8000`.

Needs a running stack and the machine's Chromium. The chat's 1,000 messages and an answer of 100
tokens a second are the browser's own doing (its requests are answered here), so the page is
measured and nothing else: how long the chat takes to open, how late frames are while the answer is
written and somebody types, how late a key is drawn, and the share of a core that the page's thread
uses meanwhile, which hardly depends on what else the machine does.
"""

import asyncio
import json
import sys
import time
from typing import Any, Final

from playwright.async_api import CDPSession, Route, async_playwright

from tests.e2e.conftest import FLAGS
from tests.e2e.person import Person
from tests.e2e.stack import chromium

MESSAGES: Final = 1_000
PAGE: Final = 50
SECONDS: Final = 10
LATE_MS: Final = 50
TEXT: Final = (
    "Some **words** about `queues` that go on for a while, as answers do.\n\n"
    "```python\ndef add(a: int, b: int) -> int:\n    return a + b\n```\n\n"
    "| Left | Right |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n"
)
# Answers the prompt with 100 tokens a second, as the edge would.
STREAMS: Final = """seconds => {
  const plain = window.fetch;
  window.fetch = async (...request) => {
    const [path, init] = request;
    if (init?.method !== "POST" || !String(path).endsWith("/messages")) return plain(...request);
    const ids = { runId: "run_frames", messageId: "msg_frames" };
    let seq = 0;
    const event = (body) => {
      const data = JSON.stringify({ ...ids, seq: ++seq, ...body });
      return new TextEncoder().encode(`id: ${seq}\\nevent: ${body.type}\\ndata: ${data}\\n\\n`);
    };
    const words = ["words ", "and ", "`code` ", "**more** ", "of it. ", "\\n\\n- an item "];
    return new Response(new ReadableStream({
      start(out) {
        out.enqueue(event({ type: "run.started", model: "m" }));
        const timer = setInterval(() => {
          out.enqueue(event({ type: "message.delta", delta: words[seq % words.length] }));
          if (seq < seconds * 100) return;
          clearInterval(timer);
          out.enqueue(event({ type: "run.completed", finish_reason: "stop", usage: {} }));
          out.close();
        }, 10);
      },
    }), { headers: { "content-type": "text/event-stream" } });
  };
}"""
WATCHES: Final = """() => {
  window.gaps = [];
  let last = performance.now();
  const frame = (now) => {
    window.gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  window.keys = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.name === "keydown") window.keys.push(entry.duration);
    }
  }).observe({ type: "event", durationThreshold: 16 });
}"""


def page_of(start: int) -> dict[str, Any]:
    """Return a page of the long chat, newest first; `start` counts from the newest."""
    data = []
    for at in range(start, min(start + PAGE, MESSAGES)):
        number = MESSAGES - at
        answer = number % 2 == 0
        data.append(
            {
                "messageId": f"msg_{number:04}",
                "role": "assistant" if answer else "user",
                "content": TEXT if answer else f"Question {number}",
                "createdAt": "2026-01-01T00:00:00Z",
                "status": "complete",
                **({"runId": f"run_{number:04}"} if answer else {}),
            }
        )
    more = start + PAGE < MESSAGES
    return {"data": data, "nextCursor": str(start + PAGE) if more else None, "activeRun": None}


async def messages(route: Route) -> None:
    """Answer for the edge where the long chat's messages are asked for."""
    url = route.request.url
    start = int(url.partition("cursor=")[2].partition("&")[0] or 0)
    body = json.dumps(page_of(start))
    await route.fulfill(headers={"Content-Type": "application/json"}, body=body)


async def busy(profile: CDPSession) -> float:
    """Return the processor time of the page's main thread, in seconds."""
    metrics = (await profile.send("Performance.getMetrics"))["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


async def measure(url: str) -> dict[str, float | int]:
    """Return the figures."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        person = await Person.arrives(await browser.new_context(), url)
        page = person.page
        await person.enters_as_guest()
        await page.route("**/messages?*", messages)
        await page.evaluate("() => { window.opened = performance.now(); }")
        await page.evaluate("() => { location.hash = '#/chat/chat_frames'; }")
        await page.wait_for_function("() => document.querySelectorAll('.exchange').length >= 25")
        open_ms = await page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame("
            "() => done(performance.now() - opened))))"
        )
        # From here on nothing is found by role: that walks the whole page, and would be measured.
        while await page.evaluate("() => document.querySelector('.earlier') !== null"):
            await page.evaluate("() => { document.querySelector('.transcript').scrollTop = 0; }")
            await asyncio.sleep(0.02)
        shown = await page.evaluate("() => document.querySelectorAll('article').length")
        await page.evaluate("() => document.getElementById('prompt').focus()")
        await page.evaluate(STREAMS, SECONDS)
        await page.keyboard.type("Now a long one")
        await page.keyboard.press("Enter")
        await page.evaluate(WATCHES)
        profile = await page.context.new_cdp_session(page)
        await profile.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
        await profile.send("Performance.enable")
        began, busy_s = time.monotonic(), await busy(profile)
        while await page.evaluate("() => document.querySelector('.stop') !== null"):
            await page.keyboard.type("typing ", delay=40)
        busy_s, took_s = await busy(profile) - busy_s, time.monotonic() - began
        gaps: list[float] = sorted(await page.evaluate("() => gaps"))
        keys: list[float] = sorted(await page.evaluate("() => keys"))
        await browser.close()
    late = sum(gap > LATE_MS for gap in gaps)
    return {
        "messages": shown,
        "open_ms": round(open_ms),
        "frames": len(gaps),
        "late_share": round(late / len(gaps), 4),
        "frame_p99_ms": round(gaps[int(len(gaps) * 0.99)], 1),
        "frame_worst_ms": round(gaps[-1], 1),
        "busy_share": round(busy_s / took_s, 3),
        "key_p99_ms": round(keys[int(len(keys) * 0.99)], 1) if keys else 0,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1])), indent=2))  # noqa: T201
