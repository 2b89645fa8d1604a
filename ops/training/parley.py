"""What the model knows about Parley: each topic with the ways to ask and one plain answer."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ops.training.grammar import Turn, say, typed


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions as templates, and the answer with its few variations."""

    key: str
    questions: tuple[str, ...]
    answer: str


_ASK = "[||||||Hi, |Hey, |Please tell me: |Tell me, |Can you explain |Could you tell me |I wonder, |Quick question: |One question: |I'd like to know: |So, |Okay, |And ]"
_CLOSE = "[close|shut|leave|quit]"
_TAB = "[the|this|my] [tab|browser tab|browser|page|window|browser window|laptop]"
_RUNS = "[answer|reply|run|message|response|generation]"

TOPICS: tuple[Topic, ...] = (
    Topic("what", ("what is [Parley|this]", "what's Parley", "what does Parley do", "tell me about Parley", "[explain|describe] Parley", "what is Parley for", "what is this [site|page|app|service|thing|program]", "what can Parley do", "Parley", "what kind of [system|software] is Parley", "who uses Parley", "what is the purpose of Parley"),
          "Parley is a chat service that you run on your own GPUs. Answers stream token by token and survive any single failure."),
    Topic("who", ("who are you", "what are you", "what is your name", "what's your name", "who am I talking to", "tell me about yourself", "introduce yourself", "do you have a name", "are you an AI", "are you a [robot|bot|person|human]", "are you [human|real|ChatGPT]", "what model are you", "which model [are you|is this]", "how big are you", "how many parameters do you have", "what [kind|sort] of model are you", "who am I chatting with", "who made you", "who [built|trained|created] you", "how were you [made|trained]", "what should I call you"),
          "I am Parley's small demonstration model. I have about five million parameters and was trained on text that the project generated."),
    Topic("can", ("what can you do", "what are you able to do", "how can you help me", "what can I ask you", "help", "what do you know", "how can you help", "what are you good at", "what can I do here", "what should I ask", "can you help me", "what are your [skills|abilities]", "what can we talk about", "what can I type", "give me some examples of what you can do", "I need help"),
          "I can chat, remember what you tell me, answer questions about Parley, add small numbers, count, spell, and tell a short story."),
    Topic("close", (f"what happens [when|if] I {_CLOSE} {_TAB}", f"can I {_CLOSE} {_TAB}", f"what if I {_CLOSE} {_TAB}", f"does [the answer|it|the run] stop [when|if] I {_CLOSE} {_TAB}", f"will I lose the {_RUNS} if I {_CLOSE} {_TAB}", f"I {_CLOSE} {_TAB}. What happens to the {_RUNS}", "what happens when I [leave|go away|lose my connection|go offline|disconnect]", "what if my [connection|internet|wifi] [drops|breaks|fails]", f"is the {_RUNS} lost when I {_CLOSE} {_TAB}", "what happens if I [reload|refresh] the page", f"does {'closing'} {_TAB} [cancel|stop|end] the {_RUNS}", "does leaving stop it", f"what happens to my {_RUNS} when I {_CLOSE} {_TAB}"),
          "Nothing is lost. The answer goes on without you, and when you come back you see it from where you left."),
    Topic("run", ("what is a run", "what's a run", "explain runs", "what does run mean", "what do you mean by a run", "define run", "what are runs", "what is a run in Parley", "what does the word run mean here", "tell me what a run is", "what exactly is a run"),
          "A run is one answer being made: from your prompt, through the queue and the engine, to exactly one end: completed, cancelled or failed."),
    Topic("cancel", (f"how do I [cancel|stop|abort|interrupt|end|halt] [the|a|an|this|my] {_RUNS}", "how do I [cancel|stop|abort]", "how can I [stop|cancel|abort|interrupt] [you|it|this]", f"can I [stop|cancel|abort|interrupt] [the|an|a] {_RUNS}", "how to [stop|cancel|abort]", f"what [button|key] [stops|cancels] [the|an] {_RUNS}", "how do I make you stop", "how do I make it stop", "is there a stop button", "can I stop you", f"what does the stop button do", "what does Esc do", f"what happens when I [cancel|stop] [the|a|an] {_RUNS}", f"I want to [stop|cancel] the {_RUNS}"),
          "Press the stop button or the Esc key. The engine frees the answer at once, and no more text follows."),
    Topic("actor", ("what is an actor", "what are actors", "explain actors", "what's an actor in Parley", "which actors are there", "what actors does Parley have", "how many [kinds of|types of] actors are there", "name the actors", "what does actor mean", "list the actors"),
          "An actor is a process with its own state that only talks by messages. Parley has session, scheduler, gpu and summarizer actors."),
    Topic("session", ("what is a session actor", "what does the session actor do", "explain the session actor", "what is the session for", "what's the session actor", "what does a session actor own", "who owns a chat", "who builds the context", "what is the job of the session actor"),
          "The session actor owns one chat. It stores your messages, builds the context for the model, and allows one active run at a time."),
    Topic("scheduler", ("what is the scheduler", "what does the scheduler do", "explain the scheduler", "how does the scheduler work", "how does scheduling work", "who decides which [prompt|run] goes first", "what's the scheduler for", "who goes first", "how are runs [ordered|scheduled]", "is the queue fair", "what is the job of the scheduler", "how is fairness kept"),
          "The scheduler decides which run goes next and on which engine. It is fair by tier and by what each run costs."),
    Topic("gpu", ("what is a gpu actor", "what does the gpu actor do", "explain the gpu actor", "what's the gpu actor", "who runs the engine", "which actor runs the model", "what is a worker", "what does a worker do", "what is the job of the gpu actor", "who writes the tokens"),
          "A gpu actor runs one vLLM engine. It writes the tokens of each run to the log and stops a run when you cancel it."),
    Topic("summarizer", ("what is the summarizer", "what does the summarizer do", "explain the summarizer", "how does the summarizer work", "what happens to old [turns|messages]", "how are long chats handled", "what's the summarizer for", "what happens when [the|a] chat [gets|is] [too long|very long|long]", "can you remember a long chat", "what is a running summary", "how do you remember long chats"),
          "The summarizer folds old turns of a long chat into a short running summary, in the background, so that nothing important is forgotten."),
    Topic("edge", ("what is the edge", "what does the edge do", "explain the edge", "what's an edge", "what is an edge in Parley", "which part speaks HTTP", "what serves the web page", "what is the job of the edge"),
          "The edge is the part that speaks HTTP. It keeps no state, so any edge can stream any run to your browser."),
    Topic("crash", ("what happens [when|if] [a|the] [gpu|worker|gpu actor|engine|server|machine|process] [dies|crashes|fails|is killed|stops]", "what if [a|the] [gpu|worker|gpu actor|engine|server|machine] [dies|crashes|fails|is killed]", "what happens when an actor [dies|crashes|is killed]", "can I kill [an actor|a worker|the gpu actor]", "what happens if I kill [an actor|a worker|the engine|the gpu actor]", "how do you recover from a crash", "does the answer survive a crash", "what happens after a crash", "what happens on a failure", "how does recovery work", "what if something breaks", "how does Parley [handle|survive] [failures|crashes|a crash]", "what happens on kill -9"),
          "Another worker continues from the last token that was written. You see a short pause, and then the sentence goes on."),
    Topic("nats", ("what is NATS", "what does NATS do", "why NATS", "what is JetStream", "what is NATS used for", "how do the actors talk", "how do actors [communicate|talk to each other]", "what carries the messages", "explain NATS", "what is the message bus"),
          "NATS is the message bus between the actors. JetStream, a part of it, keeps the messages and the tokens safely on disk."),
    Topic("vllm", ("what is vLLM", "what does vLLM do", "which engine do you use", "what engine [runs|makes] the answers", "explain vLLM", "what is vLLM used for", "what inference engine is used", "what is the engine", "which engine does Parley use"),
          "vLLM is the engine that runs the language model. It answers many chats at the same time in one batch."),
    Topic("history", ("where are my [chats|messages|conversations] [stored|kept|saved]", "where is the history [stored|kept|saved]", "what database do you use", "which database does Parley use", "do you [save|store|keep] my [chats|messages]", "are my [chats|messages] [saved|stored|kept]", "where do you store [data|messages|chats]", "how is history stored", "is my chat saved"),
          "Your chats are kept in the history: an SQLite file on a small setup, or ScyllaDB on a large one."),
    Topic("queue", ("what does queued mean", "why [am I|is my run|is my prompt] queued", "why do I have to wait", "what is my [queue position|position in the queue]", "what is the queue", "why is it so slow", "why does it take so long", "why am I waiting", "what does queue position mean", "why is there a queue", "how long [must I wait|do I have to wait|does it take]"),
          "Queued means that all engines are busy. The page shows your position, and your run starts as soon as there is room."),
    Topic("capacity", ("what does at capacity mean", "what happens when Parley is [full|busy|overloaded|at capacity]", "what if there are too many users", "why does it say at capacity", "what does try again in mean", "what if the [server|system|service] is [full|overloaded|too busy]"),
          "At capacity means that there is too much work now. You get a clear message at once that says when to try again."),
    Topic("api", ("do you have an API", "is there an API", "how do I use the API", "can I use the OpenAI SDK", "can I use the openai library", "is Parley compatible with OpenAI", "how do I call Parley from [Python|code|a program|my program]", "what API does Parley [have|offer]", "how can a program use Parley", "does it work with the OpenAI client", "tell me about the API"),
          "Yes. Parley has an API that is compatible with OpenAI, under /v1. Make an API key and use any OpenAI client."),
    Topic("key", ("how do I get an API key", "what is an API key", "where do I [get|make|create] an API key", "how do I [create|make] [a key|an API key]", "what is a key for", "do I need an API key", "how can I make a key"),
          "An API key lets a program use Parley as you. Make one with the command parley key, and keep it secret."),
    Topic("guest", ("do I need an account", "can I use it without an account", "what is a guest", "can I chat as a guest", "do I have to sign up", "how do I sign up", "how do I log in", "can I use Parley without [signing up|logging in]", "is an account needed", "what can a guest do"),
          "You can chat as a guest without an account. With an account, you find your chats again on any device."),
    Topic("device", ("can I [open|use|see] [my chat|the chat|it|the answer] on [another|a second|two] [device|devices|computer|phone|tab|tabs]", "what happens in a second tab", "can I open two tabs", "can I watch the same answer in two tabs", "can I continue on my phone", "can two people watch the same answer", "can I switch devices", "does it work on my phone", "can I rejoin from [another device|my phone|elsewhere]"),
          "Yes. Any tab or device of yours can join a running answer at any time, and all of them show the same text."),
    Topic("private", ("who can [read|see] my [chats|messages]", "are my [chats|messages] private", "is this private", "can other people [read|see] my [chats|messages]", "is my data safe", "can anyone else [read|see] this", "do you share my data", "is it safe to talk to you", "who has access to my [chats|messages]", "what about privacy"),
          "Your chats are private. No other user can read, resume or cancel them, or learn that they exist."),
    Topic("start", ("how do I [start|run|launch] Parley", "how do I install Parley", "how can I [run|start|install] Parley [myself|on my machine|at home|]", "which command starts Parley", "how to run Parley", "how do I set it up", "what do I need to run Parley", "how do I get started with Parley", "what command do I type to start Parley"),
          "Type make run in the folder of the project. It installs what is needed and prints the address of the page."),
    Topic("test", ("how do I [run the tests|test Parley]", "which command runs the tests", "how is Parley tested", "how can I test Parley", "how to run the tests", "are there tests"),
          "Type make test. It runs the checks, the simulation, and the tests on real NATS, a real engine and a real browser."),
    Topic("written", ("what is Parley written in", "which language is Parley written in", "what programming language do you use", "what language is used", "is Parley written in Python", "what is Parley built with", "which libraries does Parley use", "what technology does Parley use"),
          "Parley is written in Python, with actors on asyncio, NATS JetStream, vLLM engines and a Litestar edge."),
    Topic("log", ("what is the token log", "how do tokens reach [me|the browser|my browser]", "what is a token", "how does streaming work", "how are tokens streamed", "explain the token log", "what is streaming", "what is the log of a run", "how does the answer get to my browser"),
          "A token is a small piece of text. The worker writes tokens to the log of the run, and the edge streams them to your browser."),
    Topic("epoch", ("what is an epoch", "what is a lease", "how do you stop a paused worker", "what happens when a paused worker comes back", "explain epochs", "what is fencing", "what does an epoch do", "what is a lease for"),
          "Each owner of a run has an epoch number. A worker with an old epoch can't write any more, so a late one does no harm."),
    Topic("cache", ("what is the prefix cache", "what is prefix caching", "why is the second answer faster", "explain the prefix cache", "what does the prefix cache do", "what is a warm engine"),
          "The prefix cache keeps the work on the beginning of a chat, so that the engine doesn't do it again for your next message."),
    Topic("cli", ("is there a command line", "what commands are there", "what does parley ps do", "how do I see the [queue|workers|runs]", "how can I look inside", "how do I look inside Parley", "which commands does Parley have", "what can the parley command do", "how do I see what is running"),
          "Use the parley command: parley ps shows the actors, parley runs the runs, parley queue the queue, and parley doctor what is wrong."),
    Topic("model", ("can I use another model", "can I use a bigger model", "how do I change the model", "does Parley work with other models", "which models can Parley serve", "how do I use a better model", "can Parley run [Llama|a large model|Qwen]", "how do I serve another model"),
          "Yes. Start parley up with --model and the name of any Hugging Face model that your machine can load."),
    Topic("architecture", ("how does Parley work", "how does it work", "how do you work", "explain the architecture", "what happens when I send a [message|prompt]", "what happens to my [prompt|message]", "how is Parley built", "what is the path of a prompt", "how does a prompt become an answer", "what are the parts of Parley"),
          "The edge takes your prompt, the session actor stores it, the scheduler picks an engine, and the gpu actor writes the tokens that you see."),
    Topic("lost", ("can a message be lost", "can you lose my message", "will my prompt be lost", "can an answer be lost", "is anything ever lost", "is what I see what is stored", "can the text change later"),
          "No. A prompt is stored before it is accepted, and an answer is stored before it is called complete."),
    Topic("tier", ("what is a tier", "what are tiers", "do paying users go first", "what is the free tier", "is Parley free", "what does it cost", "how much does Parley cost", "what is a budget"),
          "A tier is a class of users with its own share of the engines. You run Parley yourself, so it costs what your machines cost."),
)


def exchange(rng: random.Random) -> Turn:
    """A question about Parley in one of its wordings, and its answer."""
    topic = rng.choice(TOPICS)
    question = rng.choice(topic.questions)
    mark = "" if question in {"help", "Parley", "I need help"} else "?"
    return Turn(typed(rng, _ASK + question + mark), say(rng, topic.answer))


_TITLES = {
    "what": "What Parley is", "who": "Who the assistant is", "can": "What the assistant can do", "close": "Closing the tab",
    "run": "What a run is", "cancel": "Stopping an answer", "actor": "Actors in Parley", "session": "The session actor",
    "scheduler": "The scheduler", "gpu": "The gpu actor", "summarizer": "Long chats and summaries", "edge": "The edge",
    "crash": "Recovery after a crash", "nats": "NATS and JetStream", "vllm": "The vLLM engine", "history": "Where chats are kept",
    "queue": "Waiting in the queue", "capacity": "At capacity", "api": "Using the API", "key": "API keys",
    "guest": "Guests and accounts", "device": "Tabs and devices", "private": "Privacy of chats", "start": "Starting Parley",
    "test": "Testing Parley", "written": "What Parley is built with", "log": "How tokens are streamed", "epoch": "Epochs and leases",
    "cache": "The prefix cache", "cli": "The parley command", "model": "Serving another model", "architecture": "How Parley works",
    "lost": "Nothing is lost", "tier": "Tiers and cost",
}


def title_of(turn: Turn) -> str:
    """The title of a chat that begins with this exchange about Parley."""
    return next(_TITLES[topic.key] for topic in TOPICS if topic.answer == turn.assistant)
