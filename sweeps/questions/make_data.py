"""Makes the tables of the questions whose data is random or follows a formula, in this folder.

It writes the same bytes each time.
"""

import csv
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


def write(name: str, columns: str, rows: Iterable[Sequence[float]]) -> None:
    """A table with these columns, its numbers to 12 digits."""
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns.split())
        table.writerows([format(value, ".12g") for value in row] for row in rows)


def numbered(name: str, count: int) -> str:
    """The names of so many columns: name0, name1 and so on."""
    return " ".join(f"{name}{place}" for place in range(count))


def random_bits(rows: int, draw: random.Random) -> list[list[int]]:
    """Rows of two random bits."""
    return [[draw.getrandbits(1), draw.getrandbits(1)] for _ in range(rows)]


def curves(draw: random.Random) -> None:
    """Functions of one number, as 02, 14, 16 and further/03 ask for them."""
    grid = [place / 10 for place in range(50)]
    write("02-square-with-noise.csv", "x y", ([x, 5 * x * x + draw.gauss(0, 1) ** 3] for x in grid))
    angles = [draw.uniform(-math.pi, math.pi) for _ in range(100)]
    write("14-cosine.csv", "x y", ([x, (math.cos(x) + 1) / 2] for x in angles))
    write("16-parabola.csv", "x y", ([x, x * x + 3] for x in range(100)))
    grid = [place * 10 / 99 for place in range(100)]
    write("further/03-square.csv", "x y", ([x, x**2] for x in grid))


def classes(draw: random.Random) -> None:
    """Two classes of points or rows, as 03, 09, 13, 19 and 20 have them."""
    spans = [(0.2, 0.4, 0)] * 100 + [(0.5, 0.7, 1)] * 100
    points = [(draw.uniform(low, high), draw.uniform(low, high), is_) for low, high, is_ in spans]
    write("03-squares.csv", "a b upper", points)
    write("03-squares-two.csv", "a b lower upper", ([a, b, 1 - is_, is_] for a, b, is_ in points))
    pairs = [[a, b, int(a == b), int(a != b)] for a, b in random_bits(200, draw)]
    write("09-xor-100.csv", "a b same differ", pairs[:100])
    write("09-xor-200.csv", "a b same differ", pairs)
    table = [[number >> place & 1 for place in range(7, -1, -1)] for number in range(256)]
    shuffled = draw.sample(table, len(table))
    names = f"{numbered('in', 8)} {numbered('out', 8)}"
    both = [row + target for row, target in zip(table, shuffled, strict=True)]
    write("13-bits-shuffled.csv", names, both)
    write("13-bits-same.csv", names, (row * 2 for row in table))
    turns = [(i % 2, i // 2 % 2) for i in range(10)]
    write("19-xor-ten.csv", "a b differ", ([a, b, a ^ b] for a, b in turns))
    names = f"{numbered('in', 20)} six five"
    values = [5] * 100 + [6] * 100
    write("20-fives.csv", names, ([v] * 20 + [v - 5, 6 - v] for v in values))
    write("20-fives-by-six.csv", names, ([v / 6] * 20 + [v - 5, 6 - v] for v in values))


def small(draw: random.Random) -> None:
    """A few rows, as 22, 24 and the further ones have them."""
    write("22-halves.csv", "x y", ([x, x / 2] for x in (0.5, 1, 0.4, 5, 25)))
    many = [draw.random() for _ in range(1_000)]
    write("22-halves-many.csv", "x y", ([x, x / 2] for x in many))
    write("24-tens.csv", "x one y", ([x, 1, 10 * x] for x in range(1, 5)))
    copies = "a b copy_a copy_b"
    pairs = [[(i - 1) / 9, (j - 1) / 9] for i in range(1, 9) for j in range(1, 11)]
    write("further/01-pairs.csv", copies, (pair * 2 for pair in pairs))
    noise = [
        [*(draw.randrange(50, 2_000) for _ in range(10)), draw.randrange(600, 4_000)]
        for _ in range(50)
    ]
    write("further/02-noise.csv", f"{numbered('in', 10)} y", noise)
    write("further/04-two-sums.csv", "a b c d e y", [[1, 2, 3, 4, 5, 15], [1, 2, 3, 4, 6, 16]])
    sums = [(draw.uniform(0, 0.5), draw.uniform(0, 0.5)) for _ in range(100)]
    write("further/05-sums.csv", "a b y", ([a, b, a + b] for a, b in sums))
    write("further/06-bits.csv", copies, (pair * 2 for pair in random_bits(80, draw)))
    four = [[draw.random() for _ in range(4)] for _ in range(5)]
    write("further/07-four.csv", "a b c d w x y z", (row * 2 for row in four))
    points = [(-1, -0.2445248), (0, 0.1232554), (1, 0.1713998)]
    write("further/08-three.csv", "x y", points)


def main() -> None:
    """All tables, each kind from its own seed."""
    for seed, make in enumerate((curves, classes, small), start=1):
        make(random.Random(seed))


if __name__ == "__main__":
    main()
