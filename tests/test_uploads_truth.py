"""Uploads against a model, by seeds: what they say they owe is the truth, and in the end central has every byte."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from uploads_bench import Files, Sender, owed_file

from agent.uploads import FILES_MAX

STEPS = 400
FILES = 160


class Model:
    """A central that keeps what it is sent, and a world that does anything at any time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = Files()
        self.sender = Sender(self.files)
        self.central = dict[str, bytes]()
        self.taken = self.number = 0
        self.gone = set[str]()

    def take(self) -> None:
        """Pieces that the wire lets through; central takes them in any order, and perhaps twice."""
        fresh = self.sender.sent[self.taken :]
        self.taken = len(self.sender.sent)
        for piece in fresh:
            if self.rng.random() < 0.9:
                _, name, offset = piece.topic.split("/")
                have = self.central.get(name, b"")
                if int(offset) <= len(have):
                    self.central[name] = have + piece.payload[len(have) - int(offset) :]

    def receipt(self) -> None:
        """Of some of them, and sometimes an older one."""
        self.take()
        names = self.rng.sample(sorted(self.central), min(len(self.central), self.rng.randrange(1, 20)))
        self.sender.receipt({name: len(self.central[name]) for name in names})

    def lose(self) -> None:
        """Central's disk failed: it has less of a file than it said. What it had whole it asks for by `resend`."""
        owed = sorted(self.central.keys() & {row.sha256 for row in self.files.owed})
        if owed:
            name = self.rng.choice(owed)
            self.central[name] = self.central[name][: self.rng.randrange(len(self.central[name]) + 1)]

    def owe(self) -> None:
        count = min(self.rng.choice((1, 1, 3, 70)), FILES - self.number)
        made = []
        for _ in range(count):
            self.number += 1
            size = self.rng.choice((1, 700, 5_000, 90_000))
            case = self.rng.randrange(1, 4)
            made.append(owed_file(self.number, size, case=case, key_frame=self.rng.random() < 0.2))
        self.sender.add(*made)

    def forget(self) -> None:
        """Files go from the disk: their rows too, in one step."""
        names = self.rng.sample(sorted(self.files.rows), min(len(self.files.rows), 3))
        rows = [self.files.rows.pop(name) for name in names]
        self.sender.uploads.forget(rows)
        self.sender.uploads.owed_bytes = self.files.owed_bytes
        for name in names:
            self.gone.add(name)
            self.sender.spool.pop(name)
            self.central.pop(name, None)

    def again(self) -> None:
        """Central asks for events again: their files are owed from the first byte on."""
        some = self.rng.sample(sorted(self.files.rows), min(len(self.files.rows), 5))
        for name in some:
            self.files.rows[name] = replace(self.files.rows[name], stored=0)
            self.files.parked.discard(name)
        self.sender.uploads.reload(self.files.owed_bytes)

    def up_or_down(self) -> None:
        sender = self.sender
        sender.act()
        if sender.uploads._state == "connecting" and self.rng.random() < 0.7:
            sender.up(heard=False)
        elif sender.uploads.session:
            sender.down()

    def kill(self) -> None:
        """The process is new; the journal and the files are as they were."""
        before = self.sender
        self.take()
        self.sender = Sender(self.files)
        self.sender.spool = before.spool
        self.taken = 0

    def switch(self) -> None:
        self.sender.link = self.rng.choice((None, 0, 1))
        self.sender.act()

    def hold(self) -> None:
        """The journal's answers are slow, or come."""
        sender = self.sender
        if sender.held_fetch is None:
            sender.held_fetch = []
        else:
            answers, sender.held_fetch = sender.held_fetch, None
            if sender.uploads._asked and answers:
                sender.uploads.fetched(answers[-1])
            sender.uploads._asked = False
        sender.act()

    def time(self) -> None:
        self.sender.wait(self.rng.choice((0.1, 1.0, 30.0)))

    def truth(self) -> int:
        """What central has not said that it has."""
        known = {file.sha256: file.stored for file in self.sender.uploads.known}
        return sum(row.bytes - known.get(row.sha256, row.stored) for row in self.files.owed)

    def step(self) -> None:
        does: list[Callable[[], None]] = [self.owe, self.receipt, self.receipt, self.receipt, self.time, self.time]
        rare = [self.lose, self.forget, self.up_or_down, self.up_or_down, self.kill, self.switch, self.hold, self.again]
        (self.rng.choice(rare) if self.rng.random() < 0.4 else self.rng.choice(does))()
        assert self.sender.uploads.bytes == self.truth()
        assert len(self.sender.uploads.known) <= 2 * FILES_MAX or self.sender.held_fetch is not None

    def heal(self) -> None:
        """Everything works: all that has a row and is not parked is at central, whole."""
        sender = self.sender
        if sender.held_fetch is not None:
            self.hold()
        sender.link = 0
        for _ in range(3_000):
            sender.wait(1.0)
            if sender.uploads._state == "connecting":
                sender.up(heard=False)
            self.receipt_all()
            if not self.files.owed:
                break
        assert self.files.owed == []
        assert sender.uploads.bytes == 0

    def receipt_all(self) -> None:
        fresh = self.sender.sent[self.taken :]
        self.taken = len(self.sender.sent)
        for name, data in self.sender.received(fresh).items():
            self.central.setdefault(name, b"")
            assert self.sender.spool.get(name, data).startswith(data) or name in self.gone
        for piece in fresh:
            _, name, offset = piece.topic.split("/")
            have = self.central.get(name, b"")
            if int(offset) <= len(have):
                self.central[name] = have + piece.payload[len(have) - int(offset) :]
        told = self.sender.uploads.known
        self.sender.receipt({file.sha256: len(self.central.get(file.sha256, b"")) for file in told})


@pytest.mark.parametrize("seed", range(25))
def test_what_is_said_to_be_owed_is_the_truth_and_all_of_it_comes(seed: int) -> None:
    model = Model(seed)
    model.owe()
    for _ in range(STEPS):
        model.step()
    model.heal()
    for name, row in model.files.rows.items():
        if name not in model.files.parked:
            assert len(model.central[name]) == row.bytes
            assert model.central[name] == model.sender.spool[name]
