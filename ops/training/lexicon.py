"""Slot vocabularies: lists of ordinary words, and invented names that no list could hold."""

from __future__ import annotations

import random

GIVEN_NAMES = """Ada Adam Agnes Aisha Alan Albert Alex Alice Amara Amelia Amir Amy Ana Andrea Andrew Angela Anita Anna
Anton Arthur Astrid Aya Barbara Ben Bella Bianca Boris Brian Bruno Carla Carlos Carmen Caroline Cecilia Charles Chloe
Chris Clara Claire Clara Dan Daniel Daria David Diana Diego Dora Dylan Edith Eduardo Elena Eli Elif Elsa Emil Emily
Emma Eric Erik Esther Ethan Eva Fatima Felix Fiona Frank Frida Gabriel George Gina Grace Greta Hana Hannah Hans Harry
Hassan Helen Henry Hugo Ian Ibrahim Ida Igor Ines Irene Iris Isaac Isabel Ivan Jack Jacob Jake James Jan Jane Jasmine
Jason Jenny Jim Joan Joe Johan John Jonas Jose Joseph Judith Julia Julian Karen Karl Kate Kemal Kevin Kim Klara Kofi
Lara Laura Lea Leila Lena Leo Leon Liam Lily Linda Lisa Liu Lola Lotte Louis Lucas Lucy Luis Lydia Maja Manuel Marco
Margaret Maria Marie Mark Marta Martin Mary Mateo Matt Max Maya Mei Mia Michael Miguel Mike Milan Mina Miriam Mona
Moritz Nadia Naomi Natalie Nick Nico Nina Noah Noor Nora Olga Oliver Olivia Omar Oscar Otto Pablo Paul Paula Pedro
Peter Petra Philip Pia Priya Rachel Raj Ravi Rebecca Rita Robert Rosa Ruben Ruth Ryan Sam Samira Samuel Sandra Sara
Sarah Sasha Simon Sofia Sonia Sophie Stefan Stella Steve Susan Tara Theo Thomas Tim Tina Toby Tom Tomas Tony Ursula
Valeria Vera Victor Vincent Walter Wendy William Yara Yuki Yusuf Zara Zoe""".split()

CITIES = """Amsterdam Athens Austin Bangkok Barcelona Basel Beijing Belfast Bergen Berlin Bern Bogota Bologna Boston
Bremen Brisbane Bristol Brussels Budapest Cairo Calgary Cardiff Chennai Chicago Cologne Copenhagen Dakar Dallas Delhi
Denver Dresden Dublin Edinburgh Florence Frankfurt Geneva Genoa Ghent Glasgow Graz Hamburg Hanoi Helsinki Houston
Istanbul Jakarta Kigali Krakow Kyiv Kyoto Lagos Leeds Leipzig Lille Lima Lisbon Liverpool London Lucerne Lyon Madrid
Malmo Manchester Manila Melbourne Miami Milan Montreal Moscow Mumbai Munich Nairobi Nantes Naples Nice Osaka Oslo
Ottawa Oxford Palermo Paris Perth Porto Prague Quito Riga Rome Rotterdam Salzburg Seattle Seoul Seville Singapore Sofia
Stockholm Sydney Tallinn Tampere Tokyo Toronto Trieste Turin Utrecht Valencia Vancouver Venice Verona Vienna Vilnius
Warsaw Wellington York Zagreb Zurich""".split()

COUNTRIES = """Argentina Australia Austria Belgium Brazil Canada Chile China Croatia Denmark Egypt Estonia Finland France
Germany Ghana Greece Hungary Iceland India Ireland Italy Japan Kenya Latvia Mexico Morocco Nepal Norway Peru Poland
Portugal Romania Spain Sweden Switzerland Thailand Turkey Uganda Vietnam""".split()

COLOURS = """red blue green yellow orange purple pink black white grey brown turquoise violet gold silver teal
beige indigo crimson""".split()

FOODS = """pizza pasta sushi rice soup curry bread cheese chocolate pancakes tacos noodles salad lasagna ramen dumplings
risotto falafel hummus porridge waffles steak mushrooms olives potatoes lentils burgers paella tofu couscous goulash
omelettes fondue kebab pierogi""".split()

FRUITS = """apple banana orange pear plum cherry grape lemon lime peach mango melon kiwi fig apricot strawberry raspberry
blueberry pineapple papaya""".split()

VEGETABLES = """carrot potato onion tomato spinach cabbage broccoli pepper leek pumpkin cucumber celery radish garlic
turnip beetroot""".split()

DRINKS = """coffee tea water milk lemonade cocoa juice cider""".split()

ANIMALS = """cat dog rabbit horse cow sheep goat pig fox wolf bear deer mouse rat hamster squirrel hedgehog otter badger
beaver lion tiger elephant giraffe zebra monkey panda koala kangaroo camel owl crow eagle robin sparrow parrot penguin
duck goose swan hen frog toad turtle lizard snake crocodile whale dolphin seal shark octopus crab snail bee ant
spider butterfly dragon unicorn""".split()

PETS = "cat dog rabbit hamster parrot horse turtle goldfish lizard mouse snake pony".split()

JOBS = """teacher nurse doctor baker farmer carpenter plumber electrician lawyer engineer painter musician writer
journalist pilot sailor chef waiter driver gardener librarian dentist scientist programmer designer architect
photographer actor dancer singer tailor judge student mechanic translator firefighter accountant""".split()

HOBBIES = """reading swimming cycling running painting cooking baking gardening chess climbing hiking fishing dancing
knitting photography sailing skiing football tennis basketball singing yoga drawing camping pottery surfing
travelling rowing volleyball""".split()

INSTRUMENTS = "piano guitar violin cello flute drums trumpet saxophone harp clarinet accordion banjo".split()

LANGUAGES = """Spanish French German Italian Japanese Chinese Arabic Russian Portuguese Dutch Swedish Polish Turkish
Korean Greek Finnish Danish Hindi Welsh Norwegian""".split()

SEASONS = "spring summer autumn winter".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

OBJECTS = """lamp key book box map bell clock mirror umbrella hat coat boot ring coin candle ladder basket bucket kite
boat train bicycle car tractor rocket balloon drum pillow blanket spoon kettle teapot cup plate bottle broom hammer
needle button ribbon rope letter pencil brush camera telescope violin stone feather shell leaf flower tree door window
chair table robot computer phone radio engine""".split()

PLACES = """forest garden river lake mountain valley beach island desert village town castle bridge tower harbour market
library school bakery museum station farm meadow cave park kitchen attic cellar theatre hospital shop zoo lighthouse
mill""".split()

KEEPING_PLACES = """drawer cupboard kitchen garage attic cellar bag box car fridge garden shed bathroom office bedroom
basket wardrobe hallway desk""".split()

TOPICS = """politics football history economics chemistry biology physics geology astronomy philosophy religion
medicine law poetry opera jazz painting sculpture architecture cooking wine fashion gardening volcanoes earthquakes
dinosaurs planets galaxies comets atoms electrons magnets lasers engines bridges ships trains rockets satellites
computers robots batteries bitcoin taxes mortgages insurance elections wars empires pharaohs vikings knights pirates
castles pyramids rivers glaciers oceans storms hurricanes clouds rainbows forests deserts mushrooms bacteria viruses
vaccines genes proteins vitamins muscles bones hearts lungs sleep dreams memory language grammar spelling algebra
geometry calculus statistics probability algorithms databases compilers cryptography quaternions relativity gravity
evolution photosynthesis electricity magnetism democracy inflation capitalism marketing psychology sociology
linguistics archaeology anthropology meteorology surgery allergies diabetes migraines chess poker basketball cricket
tennis golf cycling skiing surfing yoga meditation cinema television novels comics theatre ballet guitars violins
whales sharks wolves bees ants spiders snakes parrots penguins elephants horses coffee chocolate cheese bread rice
Shakespeare Napoleon Einstein Mozart Cleopatra Newton Picasso Darwin Beethoven Plato""".split()

SURNAMES = """Smith Jones Miller Brown Garcia Lopez Fischer Weber Rossi Novak Silva Santos Kowalski Hansen Larsen Berg
Nguyen Tanaka Suzuki Singh Patel Khan Ali Cohen Murphy Kelly Walker Wright Young King Lee Park Chen Wang""".split()

PLAIN_WORDS = """hello world apple house water light night day sun moon star sky rain snow wind fire earth stone tree
flower bird fish cat dog horse table chair door window book paper pen school teacher friend family mother father sister
brother child baby happy sad angry tired hungry big small long short fast slow hot cold new old good bad early late
open close begin end love peace hope dream music song dance story word letter number name time week month year summer
winter green yellow purple orange banana cherry garden kitchen bread butter sugar coffee bottle pencil button candle
castle dragon monkey rabbit turtle tiger zebra planet rocket engine bridge island river ocean mountain forest desert
village city market doctor farmer pilot sailor king queen prince magic secret silver golden window yellow puzzle wizard
parley token actor session stream queue worker engine message answer question""".split()

_ONSETS = "b br c cl d dr f fl g gr h j k kr l m n p pr r s sh sl st t tr v w y z".split()
_NUCLEI = "a e i o u a e i o ai ea oo ia".split()
_CODAS = ["", "", "", "n", "r", "l", "s", "m", "x", "k", "t", "nd", "sk", "th", "v"]
_HELD_ONSETS = "bl gl pl sn sw th fr gw zh".split()


def invented(rng: random.Random, *, held_out: bool = False) -> str:
    """A pronounceable word of two or three syllables; held-out ones begin as no trained one does."""
    first = rng.choice(_HELD_ONSETS if held_out else _ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS)
    rest = [rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(rng.choice((1, 1, 2)))]
    return first + "".join(rest) + rng.choice(_CODAS)


def person(rng: random.Random) -> str:
    """A given name, now and then an invented one or one with a surname."""
    roll = rng.random()
    if roll < 0.3:
        return invented(rng).capitalize()
    name = rng.choice(GIVEN_NAMES)
    return f"{name} {rng.choice(SURNAMES)}" if roll > 0.94 else name


def town(rng: random.Random) -> str:
    """A city, now and then an invented one."""
    return invented(rng).capitalize() if rng.random() < 0.3 else rng.choice(CITIES)


def digits(rng: random.Random, low: int = 2, high: int = 6) -> str:
    """A string of `low` to `high` decimal digits that doesn't begin with zero."""
    return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(rng.randint(low, high) - 1))
