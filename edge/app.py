"""The edge as one application: its rooms, wired."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from litestar import Litestar

from contracts.ports.bus import Bus
from contracts.ports.clock import Clock
from contracts.ports.files import Files
from contracts.ports.history import History
from contracts.ports.text import TextCodec
from contracts.ports.token_log import TokenLog
from edge.accounts import Accounts
from edge.api_keys import ApiKeys
from edge.chats import Chats
from edge.config import EdgeConfig
from edge.cursors import CursorSigner
from edge.departures import Departures
from edge.exports import Exports
from edge.health import Health
from edge.identity import Identity
from edge.logins import PasswordCheck
from edge.models import Models
from edge.openai_api import OpenAiApi
from edge.openai_embeddings import OpenAiEmbeddings
from edge.openai_errors import answer_exception
from edge.openai_pictures import Lender
from edge.openapi import Documents
from edge.ownership import Ownership
from edge.page import Page
from edge.passwords import Passwords
from edge.prompts import Prompts
from edge.queue_watch import QueueWatch
from edge.request_context import EdgeApp
from edge.responses import ResponsesApi
from edge.routes import handlers
from edge.run_streams import RunStreams
from edge.runs import Runs
from edge.search import Search
from edge.sessions import Sessions
from edge.shares import Shares
from edge.stored_files import StoredFiles
from edge.streaming import OpenStreams
from edge.submissions import Submissions
from edge.uploads import Uploads
from edge.usage import Allowances
from edge.user_settings import UserSettingsRoutes


def create_app(
    config: EdgeConfig,
    *,
    bus: Bus,
    log: TokenLog,
    history: History,
    files: Files,
    codecs: Mapping[str, TextCodec],
    clock: Clock,
) -> Litestar:
    """Return the application. It subscribes at its start and lets go at its end; bus, log and
    history are the caller's to open and close.

    Args:
        codecs: by model id; every model of `config` needs one for `/v1`.
    Raises:
        ValueError: a model has no codec.
    """
    unreadable = [model.model for model in config.models if model.model not in codecs]
    if unreadable:
        raise ValueError(f"no tokenizer for {', '.join(unreadable)}")
    sessions = Sessions(config, bus, history, clock)
    identity = Identity(config, history, sessions, clock)
    passwords = Passwords(config.password_cost)
    check = PasswordCheck(config, bus, passwords, clock)
    stored_files = StoredFiles(files)
    ownership = Ownership(config, history, clock)
    models = Models(config, bus, identity, clock)
    allowances = Allowances(config, bus, identity, models, clock)
    submissions = Submissions(config, bus)
    streams = OpenStreams(config)
    bus.on_connection(streams.bus_reached)
    watch = QueueWatch(bus, models)
    run_streams = RunStreams(log, history, streams, clock, watch)
    cursors = CursorSigner([key.secret for key in config.token_keys])
    chats = Chats(
        history=history,
        identity=identity,
        ownership=ownership,
        models=models,
        cursors=cursors,
        clock=clock,
    )
    page = Page(config.static_dir)
    uploads = Uploads(
        config,
        history=history,
        files=stored_files,
        identity=identity,
        codec=codecs[models.default],
        clock=clock,
    )
    prompts = Prompts(
        config,
        history=history,
        identity=identity,
        ownership=ownership,
        models=models,
        submissions=submissions,
        run_streams=run_streams,
        uploads=uploads,
        allowances=allowances,
        clock=clock,
    )
    runs = Runs(
        config,
        bus=bus,
        history=history,
        identity=identity,
        ownership=ownership,
        models=models,
        submissions=submissions,
        run_streams=run_streams,
    )
    openai = OpenAiApi(
        config,
        bus=bus,
        log=log,
        codecs=codecs,
        identity=identity,
        models=models,
        allowances=allowances,
        streams=streams,
        lender=Lender(history, stored_files, clock),
        clock=clock,
    )
    embeddings = OpenAiEmbeddings(config, bus=bus, identity=identity, models=models)
    accounts = Accounts(
        config, history=history, identity=identity, sessions=sessions, check=check, clock=clock
    )
    departures = Departures(
        config,
        history=history,
        files=stored_files,
        identity=identity,
        sessions=sessions,
        accounts=accounts,
        check=check,
        submissions=submissions,
        clock=clock,
    )
    responses = ResponsesApi(
        config,
        openai=openai,
        log=log,
        history=history,
        identity=identity,
        models=models,
        submissions=submissions,
        streams=streams,
        clock=clock,
    )
    rooms = (
        accounts,
        departures,
        Exports(history, identity),
        UserSettingsRoutes(history, identity, sessions, models),
        ApiKeys(config, history, identity, clock),
        chats,
        prompts,
        uploads,
        Shares(history, identity, ownership, page, clock),
        Search(history, identity, cursors),
        runs,
        models,
        allowances,
        openai,
        embeddings,
        responses,
        Health(bus, history, models, clock),
        page,
    )
    routes = [route for room in rooms for route in room.routes()]
    documents = Documents(routes, _version())

    @asynccontextmanager
    async def listening(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(passwords.close)
            for listener in (models, submissions, sessions, check):
                stack.push_async_callback((await listener.listen()).stop)
            async with asyncio.TaskGroup() as group:
                sweeping = group.create_task(departures.sweep())
                watching = group.create_task(watch.tell())
                yield
                streams.end_all()
                sweeping.cancel()
                watching.cancel()

    return EdgeApp(
        clock=clock,
        streams=streams,
        route_handlers=handlers([*routes, *documents.routes()]),
        lifespan=[listening],
        exception_handlers={Exception: answer_exception},
        request_max_body_size=config.body_max_bytes,
        openapi_config=None,
        logging_config=None,
    )


def _version() -> str:
    try:
        return version("parley")
    except PackageNotFoundError:
        return "0"
