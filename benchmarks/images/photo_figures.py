"""The five tasks on the same photos, side by side: images per second and core, and memory."""

import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from harness.minio import CACHE

import make_photos
import pillow_tasks
from processes import CORES, interpreter, run

TITLES = {
    "resize": "decode, resize to 224 × 224",
    "hash": "perceptual hash",
    "features": "feature vector",
    "info": "header",
    "decode": "full decode",
}
ALL = tuple(TITLES)
#: What `difference` tells, by task.
MEASURES = {
    "resize": "mean levels (of 255) per pixel when resized",
    "hash": "bits of 64 of the hash",
    "features": "cosine of the feature vectors",
    "decode": "levels of a channel's mean when decoded",
}
REDUCED = ("resize", "hash", "features")
#: Name of a side, as side_process.py has it: title, tasks, most photos, runs of which the fastest counts.
#: Slow sides get the first photos of the set, which are like all of them.
SIDES = {
    "Shoal": ("Shoal", ALL, 5000, 3),
    "Daft": ("Daft", ALL, 240, 2),
    "Daft in batches": ("Daft, in batches of 16", ALL, 240, 2),
    "PySpark and Pillow": ("PySpark, Pillow UDF", ALL, 600, 2),
    "Pillow": ("Pillow", ALL, 600, 2),
    "Pillow draft 2": ("Pillow, `draft()` to twice the size", REDUCED, 1200, 3),
    "Pillow draft": ("Pillow, `draft()`", REDUCED, 1200, 3),
    "Pillow-SIMD": ("Pillow-SIMD", REDUCED, 600, 2),
    "Pillow-SIMD draft": ("Pillow-SIMD, `draft()`", REDUCED, 1200, 3),
    "libjpeg-turbo": ("libjpeg-turbo", ("decode",), 600, 3),
}
#: Where the header costs next to nothing, all photos are few.
HEADERS = 5000
#: Photos whose answers are compared one by one.
SAMPLE = 48
#: Seconds after which a task is given up.
TIMEOUT = 1800
#: What Shoal is to reach: times another side, on the tasks.
AIMS = [("Daft", REDUCED, 12.0), ("Daft in batches", REDUCED, 12.0), ("PySpark and Pillow", REDUCED, 4.0), ("Pillow draft", REDUCED, 1.3),
        ("libjpeg-turbo", ("decode",), 0.9)]


def expected(paths: list[str]) -> dict:
    """The sum of the sizes of each task's answers, from the photos' headers."""
    pixels = 0
    for path in paths:
        width, height, _ = pillow_tasks.info(path)
        pixels += width * height
    return {"resize": 3 * pillow_tasks.SMALL**2 * len(paths), "decode": 3 * pixels, "info": pixels,
            "hash": len(paths), "features": len(paths)}


def warm(paths: list[str]):
    """Reads every file once, so that all sides find them in the page cache."""
    for path in paths:
        Path(path).read_bytes()


def remark(task: str, paths: list[str], found: dict) -> str | None:
    """What is wrong with a side's result, if anything: every photo must be answered, in full."""
    if found["count"] != len(paths):
        return f"answered {found['count']} of {len(paths)} photos"
    whole = expected(paths)[task]
    # A gray photo may come with one channel instead of three; few are gray.
    if not 0.95 * whole <= found["size"] <= whole:
        return f"answers add up to {found['size']}, not {whole}"
    return None


def difference(task: str, answer, reference) -> float:
    """How far an answer is from Pillow's full decode: mean levels per pixel, bits, cosine, levels of
    a channel's mean, or 0 and 1 for equal and not."""
    match task:
        case "resize":
            return float(np.abs(np.asarray(answer, np.int16) - np.asarray(reference, np.int16)).mean())
        case "hash":
            return (answer ^ reference).bit_count()
        case "features":
            a, b = np.asarray(answer, float), np.asarray(reference, float)
            return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        case "info":
            return float(tuple(answer) != tuple(reference))
        case "decode":
            if sorted(answer[:2]) != sorted(reference[:2]):
                return float("inf")
            return float(np.abs(np.subtract(answer[2:], reference[2:])).max())


def agreement(task: str, differences: list[float]) -> str:
    """The differences of a sample as one cell: of the worst photo, and of the median one."""
    worst = min(differences) if task == "features" else max(differences)
    middle = float(np.median(differences))
    match task:
        case "resize" | "decode":
            return f"{worst:.2f} ({middle:.2f})"
        case "hash":
            return f"{worst:.0f} ({middle:.0f})"
        case "features":
            return f"{worst:.4f} ({middle:.4f})"
        case "info":
            return "equal" if worst == 0 else f"{sum(differences):.0f} differ"


def is_turned(path: str) -> bool:
    with Image.open(path) as picture:
        return picture.getexif().get(make_photos.ORIENTATION, 1) != 1


def measure(arguments):
    """The lines of the tables."""
    with tempfile.TemporaryDirectory(prefix="bench-images-", dir=CACHE) as folder:
        yield from tables(Path(folder), arguments)


def tables(folder: Path, arguments):
    paths = [str(path) for path in make_photos.photos(CACHE / "bench-images/photos", arguments.count)]
    sides = [side for side in arguments.sides or SIDES if interpreter(side).exists()]
    rates, peaks, answers, remarks, numbers = {}, {}, {}, [], {}
    for side in sides:
        title, tasks, most, runs = SIDES[side]
        own = folder / side.replace(" ", "-")
        own.mkdir()
        for task in [task for task in tasks if task in (arguments.tasks or ALL)]:
            chosen = paths[: HEADERS if task == "info" else most]
            chosen = paths if side == "Shoal" else chosen  # its table holds them all
            listed = own / "photos.txt"
            listed.write_text("\n".join(chosen))
            warm(chosen)
            found = run(side, "side_process.py", [side, task, listed, min(SAMPLE, len(paths)), runs, own], TIMEOUT)
            timed = [line for line in found if "seconds" in line]
            if "error" in found[-1]:
                remarks.append(f"- {title}, {TITLES[task]}: {found[-1]['error']}")
            if not timed:
                continue
            if wrong := remark(task, chosen, timed[0]):
                remarks.append(f"- {title}, {TITLES[task]}: {wrong}")
                continue
            rates[side, task] = len(chosen) / min(timed[0]["seconds"]) / CORES
            peaks[side, task] = timed[0]["peak"]
            numbers[side] = f"{len(chosen):,} × {runs}" if task != "info" else numbers.get(side, "")
            if "error" not in found[-1]:
                answers[side, task] = pickle.loads((own / "answers.pickle").read_bytes())
            print(f"{side}, {task}: {rates[side, task]:.1f} images/s per core, "
                  f"{peaks[side, task] / 1e6:.0f} MB, {timed[0]['seconds']}", file=sys.stderr, flush=True)
        shutil.rmtree(own)
    tasks = [task for task in TITLES if any(key[1] == task for key in rates)]
    head = "| | " + " | ".join(TITLES[task] for task in tasks)
    rule = "|---|" + "---:|" * len(tasks)

    yield make_photos.summary([Path(path) for path in paths])
    yield from ["", "Images per second and core", "", head + " | photos × runs |", rule + "---:|"]
    for side in sides:
        cells = [f"{rates[side, task]:,.1f}" if (side, task) in rates else "–" for task in tasks]
        yield f"| {SIDES[side][0]} | " + " | ".join(cells) + f" | {numbers.get(side, '')} |"
    others = sides[1:] if sides[:1] == ["Shoal"] else []
    yield from ["", "Shoal's speed as a multiple of theirs", "", head + " |", rule] if others else []
    for side in others:
        both = [(side, task) in rates and ("Shoal", task) in rates for task in tasks]
        cells = [f"{rates['Shoal', task] / rates[side, task]:.2f}" if measured else "–"
                 for task, measured in zip(tasks, both)]
        yield f"| {SIDES[side][0]} | " + " | ".join(cells) + " |"
    yield from ["", "Most memory, MB, of all processes of a side", "", head + " |", rule]
    for side in sides:
        cells = [f"{peaks[side, task] / 1e6:,.0f}" if (side, task) in peaks else "–" for task in tasks]
        yield f"| {SIDES[side][0]} | " + " | ".join(cells) + " |"
    meaning = ", ".join(MEASURES[task] for task in tasks if task in MEASURES)
    yield from ["", f"Difference from Pillow that decodes fully, of the worst (and the median) of {min(SAMPLE, len(paths))} photos: "
                f"{meaning}", "", head + " |", rule]
    for side in sides:
        cells = [compared(side, task, paths, answers) for task in tasks]
        yield f"| {SIDES[side][0]} | " + " | ".join(cells) + " |"
    yield from aims(rates)
    yield from ["", *remarks] if remarks else []


def compared(side: str, task: str, paths: list[str], answers: dict) -> str:
    """One cell of the table of differences. Daft leaves photos on their side, and is compared on the others."""
    if (side, task) not in answers or ("Pillow", task) not in answers:
        return "–"
    pairs = zip(paths, answers[side, task], answers["Pillow", task])
    return agreement(task, [difference(task, answer, reference) for path, answer, reference in pairs
                            if not side.startswith("Daft") or not is_turned(path)])


def aims(rates: dict):
    """A table of what Shoal is to reach, as far as both sides were measured."""
    lines = []
    for side, tasks, factor in AIMS:
        for task in tasks:
            if (side, task) in rates and ("Shoal", task) in rates:
                found = rates["Shoal", task] / rates[side, task]
                verdict = "reached" if found >= factor else "missed"
                lines.append(f"| {TITLES[task]} ≥ {factor:g} × {SIDES[side][0]} | {found:.2f} × | {verdict} |")
    if lines:
        yield from ["", "| Aim | Measured | |", "|---|---|---|", *lines]
