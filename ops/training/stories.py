"""Short stories and verses about what the user asks for, composed sentence by sentence."""

from __future__ import annotations

import random

from ops.training import lexicon as words
from ops.training.grammar import Turn, article, say, typed

_TRAITS = "small old brave clever shy kind lonely curious young quiet happy lazy proud gentle".split()
_HEROES = [*words.ANIMALS, *words.JOBS, "boy", "girl", "king", "queen", "prince", "princess", "wizard", "knight", "robot", "ghost", "giant", "fairy", "token", "computer", "star", "cloud", "tree", "stone"]
_OPENING = "[Once upon a time|Long ago|One day|In a far land|Not long ago], [there was {hero}|there lived {hero}] [in|near] a {place}."
_WISH = "[Every day it looked for|It had always wanted|It dreamt of|More than anything it wanted|All it had was|Everyone knew that it loved] {thing}."
_TURN = "[One night|One morning|Then one day|But in {season}|Suddenly], [a storm came|the {thing_bare} was gone|it heard a strange sound|it met {friend}|it lost its way|a stranger knocked at the door]."
_DEED = "[Together they|It was afraid, but it|Without a word it|With a little luck it|So it] [crossed the river|climbed the hill|walked through the {far}|followed the stars|asked everyone it met|waited until the sun came up]."
_FIND = "[At last it found {thing} beside the {far}|In the end {friend} helped it|There, under a stone, lay {thing}|The answer was in the {far} all along|When the sun rose, everything was well]."
_ENDING = "[From then on they were friends.|And it was never lonely again.|It went home and slept well.|And they all lived happily ever after.|It never forgot that day.|Since then, it smiles every morning.]"
_ASK = "[||||please |can you |could you |now |hey, |I want you to |I would like you to ]"


def story(rng: random.Random) -> Turn:
    """A story of five or six sentences about one or two things that the user names."""
    hero, thing = rng.choice(_HEROES), rng.choice(words.OBJECTS)
    if rng.random() < 0.12:
        hero = words.invented(rng)
    asked_thing = rng.random() < 0.4
    subject = article(hero) + (f" and {article(thing)}" if asked_thing else "")
    asks = _ASK + "[tell me a story|tell a story|write a story|tell me a short story|write a short story|make up a story|tell me a tale|give me a story|a story|story] about {x}[||.|?|, please]"
    if rng.random() < 0.1:
        asks, subject = _ASK + "[tell me a story|tell me a short story|write a story|do you know a story|another story|one more story|tell me another story|I want a story|tell me a bedtime story][||.|?]", ""
    if rng.random() < 0.1 and subject and not asked_thing:
        subject = hero + "s"
    place, far = rng.sample(words.PLACES, 2)
    friend = article(rng.choice([a for a in words.ANIMALS if a != hero]))
    slots = {"hero": article(f"{rng.choice(_TRAITS)} {hero}"), "place": place, "far": far, "thing": article(thing), "thing_bare": thing, "friend": friend, "season": rng.choice(words.SEASONS)}
    parts = [_OPENING, _WISH, _TURN, _DEED, _FIND, _ENDING]
    return Turn(typed(rng, asks, x=subject), " ".join(say(rng, part, **slots) for part in parts))


_LINES = (
    "[The {x} is quiet, the {x} is small,|Oh {x}, oh {x}, so bright and near,|A {x} I saw, a {x} I knew,|Little {x} beneath the sky,]",
    "[I think I love it best of all.|I sing your song for all to hear.|It shone in silver, gold and blue.|I watch the clouds as they go by.]",
    "[The night is long, the wind is cold,|The stars look down, the moon is high,|The river runs, the hours pass,|The day begins, the birds awake,]",
    "[yet here I have a hand to hold.|and none can tell the reason why.|and dew is shining on the grass.|and light is dancing on the lake.]",
)


def verse(rng: random.Random) -> Turn:
    """Four lines about a word that the user names."""
    word = rng.choice(words.OBJECTS + words.ANIMALS + words.PLACES)
    asks = _ASK + "[write|make up|tell me|give me|compose] a [poem|short poem|verse|rhyme|song|little poem] about [{x}|the {y}|{y}s][||.|?]"
    return Turn(typed(rng, asks, x=article(word), y=word), "\n".join(say(rng, line, x=word) for line in _LINES))
