"""What is measured: the cells of the table, and the points of the curves."""

from dataclasses import dataclass, field

KB = 1024
MB = 1024 * KB


@dataclass(frozen=True)
class Cell:
    """One load. `options` are those of the source."""

    label: str
    sessions: int
    size: int = 10 * KB
    starttls: bool = False
    per_connection: int = 0
    destinations: int = 1
    # At least so many messages, however long they take.
    messages: int = 0
    # Queued for a destination that does not answer before this cell begins.
    backlog: int = 0
    # The place on the axis of a curve.
    at: str = ""


@dataclass(frozen=True)
class Curve:
    """A series of cells that differ in one thing."""

    name: str
    axis: str
    cells: list = field(default_factory=list)


TABLE = [
    Cell("10 KB, 1 session", 1),
    Cell("10 KB, 10 sessions", 10),
    Cell("10 KB, 50 sessions", 50),
    Cell("10 KB, 200 sessions", 200),
    Cell("100 KB, 50 sessions", 50, 100 * KB),
    Cell("10 KB, STARTTLS in and out, 50 sessions", 50, starttls=True),
    Cell("100 KB, STARTTLS in and out, 50 sessions", 50, 100 * KB, starttls=True),
    Cell("1 KB, one a connection, STARTTLS, 50 sessions", 50, KB, starttls=True, per_connection=1),
]
QUICK = [TABLE[1], TABLE[2], TABLE[5]]
MEMORY = Cell("memory", 50)

SESSIONS = [1, 5, 20, 50, 100, 200, 500]
SIZES = [KB, 10 * KB, 100 * KB, MB, 10 * MB]
BACKLOGS = [0, 1_000, 10_000, 100_000, 1_000_000]
DESTINATIONS = [1, 10, 100, 1_000, 10_000]
CURVE_SESSIONS = 50
# By what they are over.
CURVES = ["sessions", "size", "backlog", "destinations"]
# Of the curve over destinations: so many at least are sent to them.
DESTINATION_MESSAGES_MIN = 2_000


def curves(backlog_max, destinations_max):
    many = CURVE_SESSIONS
    backlogs = [count for count in BACKLOGS if count <= backlog_max]
    counts = [count for count in DESTINATIONS if count <= destinations_max]
    return [
        Curve("sessions", "sessions at once", [Cell(f"{n} sessions", n, at=str(n)) for n in SESSIONS]),
        Curve("size", "size of a message", [Cell(f"messages of {_bytes(n)}", 20, n, at=_bytes(n)) for n in SIZES]),
        Curve(
            "backlog",
            "messages queued for a destination that does not answer",
            [Cell(f"backlog of {n:,}", many, backlog=n, at=f"{n:,}") for n in backlogs],
        ),
        Curve(
            "destinations",
            "destinations",
            [
                Cell(f"to {n:,}", many, destinations=n, messages=max(n, DESTINATION_MESSAGES_MIN), at=f"{n:,}")
                for n in counts
            ],
        ),
    ]


def _bytes(count):
    return f"{count // MB} MB" if count >= MB else f"{count // KB} KB"
