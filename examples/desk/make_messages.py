"""Writes messages.jsonl: messages to a company's help desk, composed by the small grammar below, with the queue each belongs to.

    python make_messages.py > messages.jsonl

Each message is an opening, a complaint of its queue with its words filled in, and a closing; one in five mentions a second matter
that belongs elsewhere, which is what makes some of them hard.
"""

import json
import random
import sys

SEED = 11
SPLITS = {"train": 240, "dev": 120, "calibration": 500, "test": 140}
WORDS = {
    "{app}": ["the planner", "the wiki", "the time sheet", "the budget tool", "the mail program", "the drawing tool"],
    "{place}": ["on the third floor", "in room 214", "in the annex", "next to the kitchen", "at the front desk"],
    "{when}": ["since Monday", "since this morning", "after lunch", "since the update", "for two days now", "again"],
    "{thing}": ["laptop", "second screen", "docking station", "keyboard", "headset", "mouse"],
    "{who}": ["our new colleague", "the trainee", "my manager", "an external consultant", "the night shift"],
}
QUEUES = {
    "access": [
        "my password for {app} is not accepted any more {when}",
        "{who} needs an account for {app}",
        "I am locked out of {app} {when}",
        "the code that should come to my phone when I sign in to {app} never arrives",
        "please give {who} the right to see the folder of our team",
        "the badge of {who} does not open the door {place}",
    ],
    "hardware": [
        "my {thing} makes a strange noise {when}",
        "the {thing} {place} does not switch on {when}",
        "the battery of my {thing} is empty after an hour",
        "coffee went over my {thing} {when}",
        "a key of my {thing} is stuck {when}",
        "the {thing} gets so hot that I cannot touch it",
    ],
    "network": [
        "there is no wireless {place} {when}",
        "the connection from home breaks down every ten minutes {when}",
        "pages load very slowly {place} {when}",
        "video calls freeze {place} {when}",
        "the cable {place} gives no signal {when}",
        "I cannot reach the shared drive from the train",
    ],
    "software": [
        "{app} closes by itself when I save {when}",
        "{app} shows an empty page {when}",
        "please install {app} on the machine of {who}",
        "the new version of {app} has lost my settings",
        "{app} says that the file is damaged {when}",
        "dates in {app} are a day off {when}",
    ],
    "printing": [
        "the printer {place} is jammed {when}",
        "everything that comes out of the printer {place} is striped",
        "the printer {place} asks for toner {when}",
        "scans from the machine {place} do not reach my mailbox {when}",
        "{who} cannot print in colour {when}",
        "my pages wait in the queue of the printer {place} and never come out",
    ],
    "purchases": [
        "we need a new {thing} for {who}, who pays for it",
        "when does the {thing} that I ordered three weeks ago arrive",
        "the invoice for {app} is due, please renew the licence",
        "please order two chairs and a {thing} for the desk {place}",
        "the supplier sent the wrong {thing}, how do I return it",
        "how much may {who} spend on a {thing}",
    ],
}
OPENINGS = ["", "", "Hello, ", "Hi all, ", "Good morning, ", "Urgent: ", "Dear team, ", "Quick one: "]
CLOSINGS = ["", "", ". Thanks!", ". Can somebody have a look?", ", please help"]
CLOSINGS += [". I have a meeting at ten", ". It is not urgent"]
BESIDES = ["By the way, ", "Besides, ", "I know you are busy because ", "Unlike last week, when "]


def filled(template: str, rng: random.Random) -> str:
    for slot, words in WORDS.items():
        template = template.replace(slot, rng.choice(words))
    return template


def message(queue: str, rng: random.Random) -> str:
    main, closing = filled(rng.choice(QUEUES[queue]), rng), rng.choice(CLOSINGS)
    text = rng.choice(OPENINGS) + main + closing
    if rng.random() < 0.2:
        other = filled(rng.choice(QUEUES[rng.choice(sorted(set(QUEUES) - {queue}))]), rng)
        text += ("" if text[-1] in ".!?" else ".") + " " + rng.choice(BESIDES) + other + "."
    return text[0].upper() + text[1:]


def main() -> None:
    rng, seen = random.Random(SEED), set()
    for split, n in SPLITS.items():
        made = 0
        while made < n:
            queue = rng.choice(sorted(QUEUES))
            text = message(queue, rng)
            if text not in seen:
                seen.add(text)
                made += 1
                sys.stdout.write(json.dumps({"text": text, "queue": queue, "split": split}) + "\n")


if __name__ == "__main__":
    main()
