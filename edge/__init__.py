"""The edge: HTTP and server-sent events for browsers and API clients.

Owns: nothing that outlives a request. Any edge serves any run, and one may die at any moment:
its clients reconnect to another with their last event id.

Accepts: the routes of `/docs`; `PoolStatus` broadcasts; replies of session actors to its inbox;
`IdentityChanged` from other edges.
Emits: `SubmitPrompt`, `SubmitResponse`, `CancelRun` to `SESS`, the `RunSpec` of an
API run to `RUNS`,
`CancelQueued` and `DescribeRun` requests to schedulers, `IdentityChanged` to other edges.

Invariants:
- who asks is known from a proof in the request alone; what is another's is not found;
- a session that was ended, or whose user is gone, proves nothing on any edge within seconds;
- a prompt that has no chance is refused before anything is stored, without awaiting anything;
- a reader is subscribed to a run's log before the run is submitted, so it misses no event;
- the ids of events are the log's, the same on every edge;
- a slow reader is cut off and slows no one else; one that leaves stops nothing, except on
  `/v1`, where it stops what is not in the background;
- a parameter of `/v1` is honoured or refused by its name, never ignored.

Rooms: `app` (the wiring), `server` (the socket), `request_context` (ids, headers, log line);
`identity`, `tokens`, `sessions`, `origins`, `passwords`, `throttle`, `accounts`, `departures`,
`exports`, `user_settings`, `api_keys`; `ownership`, `chats`, `shares`, `search`, `uploads`,
`file_kinds`, `pdf_text` and `pdf_reader` (a program of its own), `stored_files`; `cursors`,
`prompts`, `submissions` (commands and their replies), `models` (pools and their
status), `runs`; `streaming` (any streamed answer), `run_streams`, `sse`, `run_history`;
`openai_api`, `openai_embeddings`, `openai_parameters` (what each gets, and the page that says so),
`openai_requests`, `openai_messages`, `openai_runs`, `openai_chunks`, `openai_errors`, `tool_calls`;
`responses`, `responses_requests`, `responses_story`, `responses_stream`;
`scopes`; `health`, `page`, `openapi`;
`routes`, `bodies`, `replies`, `problems`, `expiring`, `metrics`, `config`.

Knows `contracts` and its ports only.
"""
