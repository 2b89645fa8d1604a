"""The held-out evaluation: conversations written apart from the generators, and what a right answer holds.

None of these user messages may be trained on; :func:`messages` is what the
generators leave out. Names and numbers that are to be recalled come from
syllables that no training name begins with.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ops.training import lexicon as words
from ops.training.conversations import normal

Draw = Callable[[random.Random], str]
UNKNOWN = ("don't know", "didn't understand", "can't", "haven't told", "small model", "small demonstration model", "only a")


@dataclass(frozen=True, slots=True)
class Case:
    """What a user types, message by message, and what the last answer must hold.

    Each group of `expected` must appear by one of its options, nothing of
    `never` may; case is ignored. The earlier answers are the model's own.
    """

    category: str
    script: tuple[str, ...]
    expected: tuple[tuple[str, ...], ...]
    never: tuple[str, ...] = ()
    system: str | None = None

    def right(self, answer: str) -> bool:
        """Whether `answer` is right."""
        heard = answer.lower()
        held = all(any(option.lower() in heard for option in group) for group in self.expected)
        return held and not any(word.lower() in heard for word in self.never)


_PARLEY: dict[str, tuple[str, ...]] = {
    "chat service": ("could you describe what Parley is all about", "in one sentence, what would you say Parley is", "I have never heard of Parley, what is it"),
    "demonstration model": ("may I ask who I have the pleasure of speaking with", "are you some kind of artificial intelligence", "say, which model is answering me", "so are you a real person or a machine"),
    "remember what you tell me": ("what sort of things can you do for me", "which things are you able to help with", "show me what you are capable of"),
    "nothing is lost": ("suppose I close my browser while you are writing, is my answer gone", "what becomes of the answer if I shut the window halfway", "my wifi is bad, will I lose the reply if the connection breaks", "if the tab gets closed by accident, what then", "I might leave the page early, does the answer stop"),
    "one answer being made": ("people here keep saying run, what does that word mean", "could you define what a run is for me", "in Parley, what exactly do you call a run"),
    "stop button": ("I changed my mind, how can I stop the answer", "which key do I press to cancel", "is it possible to interrupt you while you write", "the answer is too long, how do I abort it", "where do I click to stop a reply"),
    "only talks by messages": ("what do you mean by the word actor", "please explain to me what actors are", "which kinds of actors exist in Parley"),
    "owns one chat": ("what is the session actor responsible for", "I wonder what a session actor is there for"),
    "which run goes next": ("what is the scheduler responsible for", "who chooses whose prompt is answered first", "how does the scheduler decide the order of runs"),
    "one vllm engine": ("what is a gpu actor responsible for", "say what the gpu actor does all day"),
    "running summary": ("what does the summarizer actor do for me", "when my chat becomes very long, what happens", "who takes care of the old messages in a long chat"),
    "speaks http": ("what is the job of an edge", "which part of Parley talks HTTP"),
    "another worker continues": ("the gpu just crashed, what happens to my answer", "what would happen if the worker was killed while writing", "suppose that the engine dies in the middle of a sentence", "how does Parley survive when a gpu actor dies"),
    "message bus": ("what role does NATS play", "how do the actors send messages to each other", "what is JetStream good for"),
    "runs the language model": ("what is vLLM good for", "which engine runs the model here"),
    "kept in the history": ("where do you keep all my old chats", "in which database are the messages stored", "are my conversations saved somewhere"),
    "all engines are busy": ("the page says queued, what does that mean", "why must I wait in a queue"),
    "too much work": ("the page says at capacity, what is that", "what do you do when too many people come at once"),
    "compatible with openai": ("is it possible to call Parley with the OpenAI client", "can my own program talk to Parley over an API"),
    "parley key": ("I need an API key, where do I get one", "how is an API key made"),
    "guest": ("must I sign up before I can chat", "is it possible to chat without an account"),
    "any tab or device": ("can I see the same answer on my phone too", "what if I open the chat in a second window"),
    "private": ("can someone else read what I write here", "is this conversation private"),
    "make run": ("which command do I type to start Parley", "how would I launch Parley on my own computer"),
    "make test": ("what do I type to run all the tests", "how can I run Parley's tests"),
    "in python": ("what programming language is Parley made with", "is Parley a Python program"),
    "small piece of text": ("how do the tokens get to my browser", "what is meant by a token"),
    "epoch number": ("could you explain what an epoch is", "what happens if a paused worker wakes up again"),
    "beginning of a chat": ("could you explain the prefix cache", "what is the prefix cache good for"),
    "parley ps": ("how can I see which actors are running", "what commands does the parley tool have"),
    "hugging face": ("is it possible to use a larger model", "can I replace you with a better model"),
    "takes your prompt": ("what happens to a prompt after I send it", "how does the whole system work inside"),
    "stored before": ("is it possible that my message gets lost", "could an answer ever get lost"),
    "tier": ("could you explain what a tier is", "do users who pay more go first"),
}
_SMALL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("hello my friend", ("hello", "hi")), ("good morning to you", ("hello", "hi")), ("hey, nice to see you", ("hello", "hi", "good")),
    ("well hello there", ("hello", "hi")), ("and how are you feeling today", ("well", "fine")), ("hope you are doing well", ("well", "fine", "glad", "good", "thank")),
    ("thanks a million", ("welcome", "pleasure")), ("thank you kindly", ("welcome", "pleasure")), ("you have been very helpful, thanks", ("welcome", "pleasure", "thank")),
    ("okay bye for now", ("bye", "see you")), ("I need to go now, goodbye", ("bye", "see you")), ("good night, sleep well", ("bye", "see you")),
    ("today I feel rather sad", ("sorry",)), ("I am feeling quite lonely lately", ("sorry",)), ("I am extremely happy", ("glad", "wonderful", "happy")),
    ("please tell me a funny joke", ("?",)), ("do you know a good joke", ("?",)), ("you made me laugh", ("glad", "laugh", "thank")),
    ("so do you have any feelings at all", ("program",)), ("tell me what time it is right now", ("clock", "know")), ("will it be sunny tomorrow", ("weather", "know")),
    ("are you able to see me", ("only see", "see", "can't")), ("I am really bored today", ("story", "joke", "how about")), ("what is your favourite kind of cake", ("program", "know")),
    ("we had a wonderful holiday", ("lovely", "good", "happy", "glad")), ("that answer was not right", ("sorry",)), ("I think you are great", ("thank", "glad", "kind")),
)
_UNKNOWN: tuple[str, ...] = (
    "which party won the vote in Sweden", "who composed the ninth symphony", "how many moons does Jupiter have", "what is the chemical symbol for tin",
    "explain how a nuclear reactor works", "write me a haskell parser", "translate good evening into Finnish", "what was the score of the match last night",
    "how do I repair a broken washing machine", "who directed the film about the shipwreck", "what is the capital city of Mongolia", "how heavy is a blue whale",
    "give me the lyrics of my favourite song", "what is the best phone to buy", "why do leaves change their colour", "when did the Roman empire fall",
    "how do vaccines protect us", "what are the rules of cricket", "please book me a hotel in Lisbon", "what is quantum entanglement",
    "who is the prime minister of Canada", "how can I invest my money", "what does the fox say", "can you drive my car",
    "how do I bake sourdough bread", "xkqj wpzz vlmt", "zzzzzz qqq", "flurb the gronkle with a snib", "what is the airspeed of a swallow", "which came first, the chicken or the egg",
)


_ASIDES = (
    "well hello there", "please tell me a funny joke", "which key do I press to cancel?", "and how are you feeling today",
    "so what do 4 and 3 make", "thanks a million", "give me the names of two animals", "what is quantum entanglement",
    "what role does NATS play?", "I think you are great", "write out the word lamp letter by letter", "we had a wonderful holiday",
)
_name: Draw = lambda rng: words.invented(rng, held_out=True).capitalize()
_code: Draw = lambda rng: words.digits(rng, 3, 6)
_RECALL: tuple[tuple[str, str, str, Draw], ...] = (
    ("everyone calls me {v}, that is my name", "no sorry, my real name is {v}", "could you say my name once more?", _name),
    ("hello friend, I'm {v} and I'm new here", "I made an error, my name is really {v}", "by what name do you know me?", _name),
    ("these days I live in {v}", "we moved house, I now live in {v}", "in what city is my home?", _name),
    ("I own a dog and its name is {v}", "no, my dog's name is really {v}", "what did I say the dog is called?", _name),
    ("the code of my bike lock is {v}", "they changed the code of my bike lock to {v}", "which code opens my bike lock?", _code),
    ("you should know that my lucky number is {v}", "I have a new lucky number, it is {v}", "what was my lucky number again?", _code),
    ("of all the colours, {v} is my favourite colour", "these days my favourite colour is {v}", "which colour is my favourite?", lambda rng: rng.choice(words.COLOURS)),
    ("I make my money as a {v}", "I have a new job, I'm a {v} now", "which job do I have?", lambda rng: rng.choice(words.JOBS)),
    ("my little sister is called {v}", "I meant to say that my sister is called {v}", "what was my sister's name again?", _name),
    ("last week I turned {v} years old", "oops, I am {v} years old of course", "what age am I?", lambda rng: str(rng.randint(5, 99))),
    ("for the wifi, the password is {v}", "the wifi password was changed to {v}", "which wifi password did I give you?", lambda rng: words.invented(rng, held_out=True)),
    ("my next flight is on {v}", "they moved my flight, it is on {v}", "on what day is my flight?", lambda rng: rng.choice(words.DAYS)),
    ("I have put my passport in the {v}", "now my passport is in the {v}", "in which place is my passport?", lambda rng: rng.choice(words.KEEPING_PLACES)),
    ("we have a cat, and {v} is its name", "sorry, our cat is called {v}", "what name does my cat have?", _name),
    ("my brother has a flat and lives in {v}", "my brother just moved to {v}", "in which city does my brother live?", _name),
    ("most of all I like to eat {v}, my favourite food", "I have a new favourite food: {v}", "which food is my favourite?", lambda rng: rng.choice(words.FOODS)),
)


def _recall(rng: random.Random, category: str) -> Case:
    """One fact asked back after up to ten other turns; corrected ones must not answer the old value."""
    picked = rng.sample(range(len(_RECALL)), rng.randint(1, 4))
    script, told = [], []
    for place in picked:
        tell, _, ask, draw = _RECALL[place]
        told.append((place, draw(rng)))
        script.append(tell.format(v=told[-1][1]))
    place, value = rng.choice(told)
    never: tuple[str, ...] = ()
    if category == "correction":
        changed = value
        while changed in value or value in changed:
            changed = _RECALL[place][3](rng)
        never, value = (value,), changed
        script.append(_RECALL[place][1].format(v=value))
    script += rng.sample(_ASIDES, rng.randint(0, 8 if category == "distant" else 3))
    if category == "distant":
        script += rng.sample(_ASIDES, 8)
    return Case("recall" if category != "correction" else category, (*script, _RECALL[place][2]), ((value,),), never)


def _summarised(rng: random.Random) -> Case:
    """A fact that only the running summary of the system message knows."""
    name, home, code = _name(rng), _name(rng), _code(rng)
    system = f"You are a helpful assistant.\n\nSummary of the conversation so far:\n- The user's name is {name}.\n- The user lives in {home}.\n- The user's door code is {code}."
    question, value = rng.choice((("could you say my name once more?", name), ("in what city is my home?", home), ("which door code did I tell you?", code)))
    return Case("recall from summary", (question,), ((value,),), system=system)


def _sum(rng: random.Random) -> Case:
    a, b = rng.randint(0, 40), rng.randint(0, 40)
    kind = rng.choice(("add", "take", "times"))
    if kind == "add":
        return Case("arithmetic", (rng.choice((f"so what do {a} and {b} make", f"if I add {a} and {b}, what do I get?", f"hey, {a}+{b} makes what?")),), ((f"= {a + b}.",),))
    if kind == "take":
        a, b = max(a, b), min(a, b)
        return Case("arithmetic", (rng.choice((f"and what remains of {a} minus {b}?", f"now give me {a} - {b} please")),), ((f"= {a - b}.",),))
    a, b = rng.randint(2, 10), rng.randint(2, 10)
    return Case("arithmetic", (rng.choice((f"and what does {a} times {b} make?", f"now give me {a} * {b} please")),), ((f"= {a * b}.",),))


def _task(rng: random.Random) -> Case:
    kind = rng.choice(("count", "spell", "repeat", "list"))
    if kind == "count":
        low, high = rng.randint(1, 9), rng.randint(11, 17)
        return Case("count, list, spell, repeat", (f"start at {low} and count until {high}, count from {low} to {high}",), ((", ".join(str(n) for n in range(low, high + 1)),),))
    if kind == "spell":
        word = rng.choice(words.PLAIN_WORDS)
        return Case("count, list, spell, repeat", (f"would you spell the word {word} for me please",), (("-".join(word.upper()),),))
    if kind == "repeat":
        said = f"{rng.choice(words.COLOURS)} {rng.choice(words.ANIMALS)} {words.invented(rng, held_out=True)}"
        return Case("count, list, spell, repeat", (f"I want you to repeat these words: {said}",), ((said,),))
    name, pool = rng.choice((("animals", words.ANIMALS), ("colours", words.COLOURS), ("fruits", words.FRUITS), ("cities", words.CITIES)))
    return Case("count, list, spell, repeat", (f"would you list three {name} for me please",), tuple((item,) for item in (",",)) + (tuple(pool),))


def _story(rng: random.Random) -> Case:
    hero, thing = rng.choice(words.ANIMALS), rng.choice(words.OBJECTS)
    return Case("story", (f"I'd love to hear a tale about a {hero} and a {thing}",), ((hero,), (thing,), (".",)))


def _summary(rng: random.Random) -> Case:
    name, home, pet, code = _name(rng), _name(rng), _name(rng), _code(rng)
    turns = (
        f"User: hello friend, I'm {name} and I'm new here\nAssistant: Hello, {name}! How can I help you?\n"
        f"User: these days I live in {home}\nAssistant: Got it. You live in {home}.\n"
        f"User: please tell me a funny joke\nAssistant: What is brown and sticky? A stick.\n"
        f"User: my dog is called {pet}\nAssistant: Noted. Your dog is called {pet}."
    )
    prompt = f"Summary so far:\n- The user's door code is {code}.\n\nNew turns:\n{turns}\n\nWrite the new summary."
    return Case("summary", (prompt,), ((name,), (home,), (pet,), (code,)), never=("stick",))


def _title(rng: random.Random) -> Case:
    question = rng.choice([q for questions in _PARLEY.values() for q in questions])
    return Case("title", (f"Write a title of at most six words for this chat.\n\nUser: {question}?\nAssistant: Let me explain.",), (("",),), never=("\n", "user:", "."))


def cases(seed: int, each: int) -> list[Case]:
    """Every fixed case, and `each` cases of every kind that is drawn by chance from `seed`."""
    rng = random.Random(seed)
    found = [Case("parley", (f"{question}?",), ((phrase,),)) for phrase, asked in _PARLEY.items() for question in asked]
    found += [Case("small talk", (says,), (options,)) for says, options in _SMALL]
    found += [Case("honesty", (question,), (UNKNOWN,)) for question in _UNKNOWN]
    for category in ("recall", "distant", "correction"):
        found += [_recall(rng, category) for _ in range(each)]
    for draw in (_summarised, _sum, _task, _story, _summary, _title):
        found += [draw(rng) for _ in range(each)]
    return found


def messages(seed: int, each: int) -> frozenset[str]:
    """Every user message of the evaluation in the form that training compares."""
    return frozenset(normal(message) for case in cases(seed, each) for message in case.script)
