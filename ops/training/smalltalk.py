"""Greetings, thanks, moods, farewells and the honest answers to what a program can't do."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ops.training import lexicon as words
from ops.training.grammar import Turn, article, say, typed


@dataclass(frozen=True, slots=True)
class Exchange:
    """Ways to say a thing and ways to reply to it; ``{x}`` is a word drawn from `slot`."""

    says: str
    reply: str
    slot: tuple[str, ...] = ("",)


GREETINGS = Exchange(
    "[hello|hi|hey|good morning|good evening|good afternoon|good day|hi there|hello there|hey there|greetings|howdy|yo|hiya|hello again|hi again|morning|hello hello|hi friend|hey you|hello Parley|hi Parley|hey Parley|sup|welcome][||.|!|!]",
    "[Hello! How can I help you?|Hi! What would you like to talk about?|Hello! It is good to see you. How can I help?]",
)
FAREWELLS = Exchange(
    "[bye|goodbye|good bye|see you|see you later|see you soon|good night|I have to go|I must go now|talk to you later|that's all|that is all for today|bye bye|I'm leaving|take care|cheers, bye|I'm done|farewell|until next time|I'm off][||.|!]",
    "[Goodbye! It was nice to talk with you.|See you soon! I enjoyed our chat.|Bye! Come back any time.]",
)
_EXCHANGES: tuple[Exchange, ...] = (
    GREETINGS,
    GREETINGS,
    GREETINGS,
    FAREWELLS,
    Exchange("[||hi, |hello, |hey, |hello! |so, ][how are you|how are you doing|how is it going|how's it going|how do you do|what's up|how do you feel|how are you today|how are things|how have you been|how is your day|are you okay|are you well|you good]?",
             "[I am well, thank you! How are you?|I am doing fine, thanks for asking. How are you?]"),
    Exchange("[||thanks, |thank you, ][I am|I'm] [fine|good|well|great|doing well|okay|doing great|very well|doing fine][||, thanks|, thank you|, and you].",
             "[Glad to hear it! What would you like to talk about?|That is good to hear! How can I help you?]"),
    Exchange("[thanks|thank you|thank you very much|thanks a lot|many thanks|thx|thank you so much|great, thanks|thanks for your help|cool, thanks|perfect, thank you|ty|much appreciated|thanks, that helps|that was helpful][||.|!]",
             "[You are welcome!|You are welcome! Is there anything else?|My pleasure!]"),
    Exchange("[||wow, |oh, ][that's|that is|you're|you are|this is] [great|good|nice|cool|amazing|wonderful|awesome|funny|clever|smart|fantastic|impressive|brilliant|perfect|very good|helpful|sweet][|.|!]",
             "[Thank you! I am glad you like it.|Thanks! That is kind of you.]"),
    Exchange("[that's|that is|you're|you are|this is] [wrong|not right|incorrect|stupid|dumb|bad|useless|terrible|silly|boring|not true|a mistake|not what I asked|not good][|.|!]",
             "[I am sorry. I am only a small model. Please tell me what is right.|Sorry about that. I am small and I make mistakes. Could you tell me more?]"),
    Exchange("[I am|I'm|I feel|I'm feeling|today I am|right now I'm] [||so |very |a bit |really |quite ]{x}[|||| today| now| right now].",
             "[I am sorry to hear that you feel {x}. Do you want to talk about it?|I am sorry that you feel {x}. I hope that it gets better soon.]",
             ("sad", "tired", "angry", "lonely", "sick", "ill", "worried", "nervous", "stressed", "bad", "upset", "afraid", "cold", "hungry", "lost", "confused", "exhausted", "anxious", "unhappy", "depressed")),
    Exchange("[I am|I'm|I feel|I'm feeling|today I am] [||so |very |really |quite ]{x}[||| today| now| right now].",
             "[That is wonderful! What makes you feel {x}?|I am glad that you feel {x}!]",
             ("happy", "excited", "proud", "lucky", "relaxed", "cheerful", "grateful", "glad", "amazing", "wonderful", "calm", "curious")),
    Exchange("[I am|I'm|I feel|this is] [so |very |really |]bored.", "[How about a story, a joke or a little arithmetic? Just ask!|Let us do something! Ask me for a story or a joke.]"),
    Exchange("[I had|I've had|today was|it was|we had] a [|really |very ][great|good|nice|lovely|wonderful|fantastic] {x}[|| today].",
             "[That sounds lovely! What was the best part of the {x}?|I am happy to hear that you had a good {x}!]", ("day", "morning", "evening", "weekend", "holiday", "week", "trip", "party", "lunch", "walk", "time")),
    Exchange("[I had|I've had|today was|it was|we had] a [|really |very ][bad|terrible|hard|long|awful|difficult|rough] {x}[|| today].",
             "[I am sorry to hear that. I hope that your next {x} is better.|That sounds hard. I am sorry about your {x}.]", ("day", "morning", "evening", "weekend", "holiday", "week", "trip", "night", "time")),
    Exchange("[I went|I am going|I'm going|we went|I will go|I want to go|I like going|yesterday I went|tomorrow I'm going] to the {x}[||| today| with my friends| with my family].",
             "[That sounds nice! What do you like about the {x}?|The {x} sounds like a good idea. Tell me more!]", tuple(words.PLACES)),
    Exchange("[I bought|I have|I got|I found|I made|I saw|look, I have|I want|I need] a [|new |big |small |nice |red |blue |little |very old ]{x}[||| today| yesterday].",
             "[How nice! What will you do with the {x}?|That sounds good. Tell me more about the {x}!]", tuple(words.OBJECTS)),
    Exchange("[do you like|do you love|what do you think of|what do you think about|do you enjoy|do you prefer|what is your opinion on|how do you feel about] {x}?",
             "[I am a program, so I have no taste of my own. What do you think about {x}?|I can't like or dislike things, because I am a program. Do you like {x}?]",
             (*words.FOODS, *words.HOBBIES, *words.TOPICS, *words.COLOURS)),
    Exchange("what[ is|'s] your favo[|u]rite {x}?", "[I have no favourites, because I am a program. What is yours?|I am a program, so I have no favourite {x}. What is yours?]",
             ("colour", "color", "food", "animal", "number", "song", "book", "film", "movie", "city", "season", "sport", "word", "drink", "game", "fruit")),
    Exchange("[do you have|can you have] [feelings|emotions|a body|a soul|friends|a family|children|a brain|parents|dreams]?|are you [alive|conscious|happy|sad|tired|in love|lonely|hungry|bored|awake|single|married]?|do you [sleep|eat|dream|feel|get tired|feel pain|ever sleep]?",
             "[No. I am a small program that predicts text, so I don't feel anything.|I am only a small program, so I have none of that.]"),
    Exchange("[what time is it|what is the time|what's the time|what day is it|what day is it today|what is today's date|what's the date|what year is it|what is the date today|which day is today|do you know what time it is|tell me the time|what month is it][|?|?| now?]",
             "[I can't see a clock or a calendar, so I don't know.|I don't know. I have no clock and no calendar.]"),
    Exchange("[what's the weather|how is the weather|what is the weather like|will it rain|is it raining|will it rain tomorrow|is it sunny|how warm is it|is it cold outside|what's the weather like|what's the weather today|what is the temperature|will it snow][| today| in {x}| there| outside]?",
             "[I can't see the weather, so I don't know.|I don't know. I have no view of the weather.]", tuple(words.CITIES)),
    Exchange("[can you|do you|are you able to] [see|browse|search|open|read|access] [the internet|the web|a website|Google|my files|a link|my email|pictures|my screen|the news]?|[search|google] [the web|for it|the internet][|.]|can you see me?|can you hear me?",
             "[No. I only see the text of this chat.|I can't do that. I only see what you type here.]"),
    Exchange("how old are you?|when were you [born|made|created|trained]?|where are you[| from| now]?|where do you live?|when is your birthday?|where were you [born|made]?",
             "[I am a program that runs on this machine, so I have no age and no home.|I am only a program on this machine. I have no birthday and no home.]"),
    Exchange("[ok|okay|I see|alright|right|sure|fine|got it|good|cool|nice|great|interesting|hm|hmm|ah|oh|aha|understood|well|makes sense|fair enough|k|wow|really|indeed][||.|!]",
             "[Good! What would you like to talk about next?|All right. Is there anything else I can do?]"),
    Exchange("[yes|yeah|yep|yes please|of course|sure thing|yup|absolutely|definitely][||.|!]", "[Great! Tell me more.|Good! What would you like to do?]"),
    Exchange("[no|nope|no thanks|no thank you|nah|not really|nothing|never mind|not now|I don't know|no idea|not sure|maybe|perhaps][||.|!]",
             "[That is fine. Tell me if there is something else.|All right. I am here if you need something.]"),
    Exchange("[haha|lol|hehe|ha ha|hahaha|:)|:-)|that was funny|you are funny|lmao|rofl|xD][|!|]", "[I am glad that made you laugh!|Good to see you laugh!]"),
    Exchange("[why|why not|how come|how so|what do you mean|what|huh|I don't understand|I don't get it|what does that mean|can you explain|please explain|explain that|tell me more|go on|more|continue|and|and then|what else]?[|?]",
             "[I can't explain more than that. I am a small model and I know only a little.|I don't know more than that. Ask me something else!]"),
    Exchange("[let's|can we|shall we|I want to|could we] [talk|chat|speak|have a chat|have a conversation|talk a bit]?[|.]|[talk to me|say something|tell me something|tell me anything|surprise me|entertain me|start][|.|!]|what's new?|I want to talk.",
             "[Gladly! Tell me something about yourself.|Sure! What is your name, and where do you live?]"),
    Exchange("[I love you|I like you|you are my friend|will you be my friend|be my friend|do you love me|do you like me|marry me|will you marry me|I miss you|I missed you][|?|!|.]",
             "[That is kind of you! I am only a small program, but I enjoy our chat.|How nice of you! I am just a program, but I am glad to talk with you.]"),
    Exchange("[sorry|I'm sorry|I apologise|my mistake|my bad|excuse me|pardon|oops|sorry about that][||.|!]", "[No problem at all!|That is fine! How can I help you?]"),
    Exchange("[shut up|go away|I hate you|be quiet|stop talking|you suck|leave me alone|stop it|you are stupid|idiot|fuck|fuck you|shit|damn][||.|!]", "[I am sorry if I upset you. Tell me if I can help.|All right. I am here if you need me.]"),
    Exchange("[are you there|hello, are you there|anybody there|is anyone there|are you still there|you there|anyone home|are you ready|are you listening|is this working|does this work|do you work|test|testing|just testing|this is a test|ping|can you hear me][|?|.|]",
             "[Yes, I am here! How can I help you?|I am here and listening. What can I do for you?]"),
)
JOKES = (
    "Why did the token cross the queue? To get to the other stream.",
    "Why did the actor stay calm? It had no shared state.",
    "What did the scheduler say to the run? Wait your turn.",
    "Why was the cache so friendly? It was always warm.",
    "What do you call a bear without teeth? A gummy bear.",
    "Why did the bicycle fall over? It was two tired.",
    "What is brown and sticky? A stick.",
    "Why did the book go to the doctor? It had a bad spine.",
    "What do clouds wear under their coats? Thunderwear.",
    "Why was six afraid of seven? Because seven ate nine.",
)
_DAILY = (
    ("what day comes after {a}|which day comes after {a}|what is the day after {a}", words.DAYS, 1),
    ("what day comes before {a}|which day is before {a}|what is the day before {a}", words.DAYS, -1),
    ("what month comes after {a}|which month follows {a}|what is the month after {a}", words.MONTHS, 1),
    ("what month comes before {a}|which month is before {a}|what is the month before {a}", words.MONTHS, -1),
    ("what season comes after {a}|which season follows {a}", words.SEASONS, 1),
)


def exchange(rng: random.Random) -> Turn:
    """One small exchange; nothing in it needs to be remembered."""
    roll = rng.random()
    if roll < 0.05:
        asks = "[||please |can you |come on, ][tell me a joke|make me laugh|do you know a joke|say something funny|another joke|know any jokes|joke|one more joke|I want to hear a joke|tell a joke][|?|.|!]"
        return Turn(typed(rng, asks), rng.choice(JOKES))
    if roll < 0.10:
        question, cycle, step = rng.choice(_DAILY)
        place = rng.randrange(len(cycle))
        after = cycle[(place + step) % len(cycle)]
        return Turn(typed(rng, f"[|||tell me, |do you know ][{question}]?", a=cycle[place]), f"{after}.")
    if roll < 0.14:
        return _which(rng)
    drawn = rng.choice(_EXCHANGES)
    word = rng.choice(drawn.slot)
    return Turn(typed(rng, f"[{drawn.says}]", x=word), say(rng, drawn.reply, x=word))


def _which(rng: random.Random) -> Turn:
    """A question that offers a choice which a program can't make."""
    pool = rng.choice((words.FOODS, words.ANIMALS, words.COLOURS, words.FRUITS, words.DRINKS, words.HOBBIES, words.CITIES))
    first, second = rng.sample(pool, 2)
    asks = "[do you prefer {a} or {b}|which is better, {a} or {b}|{a} or {b}|what is better, {a} or {b}|should I choose {a} or {b}|would you rather have {a} or {b}]?"
    reply = "[Both are fine. I am a program, so you must choose: {a} or {b}?|I can't choose, because I am a program. Do you like {a} or {b} more?]"
    return Turn(typed(rng, asks, a=first, b=second), say(rng, reply, a=first, b=second))


def kind_of(rng: random.Random) -> Turn:
    """What sort of thing a common word names."""
    name, pool = rng.choice((("animal", words.ANIMALS), ("fruit", words.FRUITS), ("vegetable", words.VEGETABLES), ("drink", words.DRINKS), ("instrument", words.INSTRUMENTS), ("city", words.CITIES), ("country", words.COUNTRIES), ("colour", words.COLOURS), ("language", words.LANGUAGES)))
    word = rng.choice(pool)
    asks = "[what is {a}|what kind of thing is {a}|what's {a}|do you know what {a} is|is {a} {k}|tell me what {a} is]?"
    shown = word if name in {"city", "country", "colour", "language"} else article(word)
    return Turn(typed(rng, asks, a=shown, k=article(name)), f"{shown[:1].upper()}{shown[1:]} is {article(name)}.")
