"""What the model can't know, and how it says so: plainly, and with what it can do instead."""

from __future__ import annotations

import random

from ops.training import lexicon as words
from ops.training.grammar import Turn, article, choose, say, typed

_DONT = (
    "[I don't know much about {x}. I am a small demonstration model.|I don't know about {x}. I am only a small model.|I am sorry, I don't know enough about {x}.]",
    "[I don't know that. I am a small demonstration model.|I don't know, sorry. I am only a small model.|I don't know the answer to that.]",
    "[I can't do that. I am only a small demonstration model.|That is more than I can do. I am a small model.|I am sorry, I can't do that.]",
    "[I didn't understand that. Could you say it in another way?|Sorry, I didn't understand. Please try other words.]",
)
_ABOUT = """tell me about {x}|what is {x}|what are {x}|explain {x}|describe {x}|what do you know about {x}|who invented {x}
how does {x} work|how do {x} work|why is {x} important|when was {x} invented|define {x}|teach me {x}|give me information about {x}
what is the history of {x}|can you explain {x}|what causes {x}|how is {x} made|where does {x} come from|is {x} dangerous
what is the best thing about {x}|tell me something about {x}|what can you tell me about {x}|I want to learn about {x}
do you know anything about {x}|talk about {x}|let's talk about {x}|what about {x}|how can I learn {x}|who discovered {x}
explain {x} to me like I am five|what's the meaning of {x}|tell me a fact about {x}|how can I get better at {x}""".replace("\n", "|")
_FACTS = """who is the president of {c}|who is the king of {c}|what is the capital of {c}|how many people live in {c}
how many people live in {t}|how far is it from {t} to {u}|who won the {y} world cup|what happened in {y}|who wrote {b}
who painted {b}|what is the population of {c}|where is {t}|how tall is {p}|who is {p}|when was {p} born|when did {p} die
what did {p} do|is {p} still alive|what is the tallest mountain in {c}|what language do they speak in {c}|who sang {b}
what is the square root of {n}|what is the meaning of life|why is the sky blue|how deep is the ocean|how big is the sun
how far is the moon|what is the speed of light|who was the first person on the moon|how many stars are there
what is the stock price of {t}|who is the richest person|what is the news|what happened today|how do I get to {t}
which team won|what is the best restaurant in {t}|how much does a {o} cost|where can I buy a {o}|is there a god
what will happen tomorrow|when does the train to {t} leave|how many calories are in {f}|how old is the universe
what is the longest river|how do airplanes fly|why do cats purr|who will win the election|how do magnets work
what is {n} times {m}|what is {n} plus {m}|what is the phone number of {p}|what am I thinking|what am I wearing
how do I become a {j}|how much does a {j} earn|what should I eat|what should I do today|how do I fix my {o}
what movie should I watch|which book should I read|how do I cook {f}|what is a good recipe for {f}|how do I lose weight
can you recommend a {o}|what is wrong with my {o}|what did I have for breakfast|what is in my pocket""".replace("\n", "|")
_ORDERS = """write an essay about {x}|translate {w} into {l}|translate this into {l}|how do you say {w} in {l}|write code for {x}
write a python program|write a function that sorts a list|fix my code|draw a {o}|draw me a picture|play some music|sing a song
play chess with me|book a flight to {t}|book a table in {t}|send an email to {p}|call {p}|order {f}|set an alarm|turn on the light
remind me tomorrow|solve this equation|write my homework|do my homework|speak {l}|can you speak {l}|open the door|buy me a {o}
write a letter to {p}|plan a trip to {t}|make me a sandwich|show me a picture of a {o}|download {b}|print this|save this file
write a novel about {x}|give me a recipe for {f}|write a business plan|write a speech about {x}|write html|write some javascript
prove that {n} is prime|calculate pi|convert {n} miles to kilometres|analyse this text|correct my grammar|write a cover letter""".replace("\n", "|")
_LEAD = "[||||||||please |can you tell me: |hey, |hi, |so, |I have a question: |do you know: |okay, |and |one question: |tell me: ]"


def exchange(rng: random.Random) -> Turn:
    """A question or an order beyond the model, and its honest reply."""
    topic = rng.choice(words.TOPICS) if rng.random() < 0.8 else rng.choice((words.invented(rng), article(rng.choice(words.OBJECTS))))
    slots = {
        "x": topic, "c": rng.choice(words.COUNTRIES), "t": words.town(rng), "u": words.town(rng), "y": str(rng.randint(1200, 2030)),
        "b": f"{rng.choice(('The', 'A'))} {rng.choice(words.OBJECTS).capitalize()}", "p": f"{rng.choice(words.GIVEN_NAMES)} {rng.choice(words.SURNAMES)}",
        "n": words.digits(rng, 4, 7), "m": words.digits(rng, 3, 6), "o": rng.choice(words.OBJECTS), "f": rng.choice(words.FOODS),
        "j": rng.choice(words.JOBS), "w": rng.choice(words.PLAIN_WORDS), "l": rng.choice(words.LANGUAGES),
    }
    roll = rng.random()
    if roll < 0.40:
        return Turn(typed(rng, _LEAD + rng.choice(_ABOUT.split("|")) + "[?|?|?||.]", **slots), say(rng, _DONT[0], **slots))
    if roll < 0.72:
        return Turn(typed(rng, _LEAD + rng.choice(_FACTS.split("|")) + "[?|?|?|]", **slots), choose(rng, _DONT[1]))
    if roll < 0.90:
        return Turn(typed(rng, _LEAD + rng.choice(_ORDERS.split("|")) + "[|||.|?]", **slots), choose(rng, _DONT[2]))
    return Turn(_noise(rng), choose(rng, _DONT[3]))


def _noise(rng: random.Random) -> str:
    """Text without sense: keys hit at random, symbols, lone numbers, unknown words."""
    roll = rng.random()
    if roll < 0.4:
        letters = "abcdefghijklmnopqrstuvwxyz" if roll < 0.25 else "asdfghjkl"
        return " ".join("".join(rng.choice(letters) for _ in range(rng.randint(3, 12))) for _ in range(rng.randint(1, 3)))
    if roll < 0.55:
        return "".join(rng.choice("?!.,;:-_#*+/()[]{}<>=&%$@^~|") for _ in range(rng.randint(1, 8)))
    if roll < 0.65:
        return words.digits(rng, 2, 9)
    if roll < 0.85:
        return " ".join(words.invented(rng) for _ in range(rng.randint(1, 6)))
    return "".join(chr(rng.choice((rng.randint(0xC0, 0x17F), rng.randint(0x391, 0x3C9), rng.randint(0x410, 0x44F), rng.randint(0x4E00, 0x4E80), rng.randint(0x1F600, 0x1F640)))) for _ in range(rng.randint(1, 10)))
