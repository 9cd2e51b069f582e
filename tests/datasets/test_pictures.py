"""One picture in every encoding is one picture; what is no picture is refused in one line."""

import io
import os
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from mnistlab.datasets.pictures import read_grey
from mnistlab.errors import DataError

GREYS = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)


def encoded(mode, values=GREYS):
    """The same greys as a Pillow image of another mode."""
    if mode == "I;16":
        return Image.fromarray(values.astype(np.uint16) * 257)
    if mode == "P":
        image = Image.fromarray(values, mode=None)
        palette = image.convert("P")
        palette.putpalette([level for grey in range(256) for level in (255 - grey,) * 3])
        palette.putdata((255 - values).ravel().tolist())
        return palette
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "I;16"])
def test_equal_greys_are_equal_in_every_encoding(mode, tmp_path):
    encoded(mode).save(tmp_path / "greys.png")
    assert np.array_equal(read_grey(tmp_path / "greys.png"), (GREYS.astype(np.float64) / 255).astype(np.float32))


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(GREYS > 100).save(tmp_path / "bits.png")
    assert np.array_equal(read_grey(tmp_path / "bits.png"), GREYS > 100)


@pytest.mark.parametrize(("ink", "ground"), [(0, 1), (255, 0)])
def test_a_drawing_on_nothing_stays_visible(ink, ground, tmp_path):
    pixels = np.full((8, 8, 4), ink, np.uint8)
    pixels[..., 3] = 0
    pixels[2:6, 3:5, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "drawn.png")
    grey = read_grey(tmp_path / "drawn.png")
    assert grey[0, 0] == ground
    assert grey[3, 3] == ink / 255


def test_a_camera_turned_on_its_side_is_turned_back(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the right side of the scene is the picture's top
    Image.fromarray(np.repeat([[0], [255]], 40, axis=1).astype(np.uint8).repeat(10, axis=0)).save(
        tmp_path / "photo.jpg", exif=exif
    )
    grey = read_grey(tmp_path / "photo.jpg")
    assert grey.shape == (40, 20)
    assert grey[:, -1].mean() < 0.1 < 0.9 < grey[:, 0].mean()


def png(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def bytes_of(image, kind):
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


GOOD = bytes_of(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)), "PNG")
REFUSED = {
    "empty": (b"", "0 bytes"),
    "truncated": (GOOD[:-400], "cannot be read: "),
    "text": (b"no picture at all", "no PNG or JPEG"),
    "GIF behind the name of a PNG": (bytes_of(Image.fromarray(GREYS), "GIF"), "no PNG or JPEG"),
    "60,000 by 60,000": (png(60_000, 60_000), "pixels"),
    "4,001 by 4,000": (png(4_001, 4_000), "4,001×4,000 pixels are more than 16,000,000"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_picture_is_refused_in_one_line_before_it_takes_memory(kind, tmp_path):
    content, why = REFUSED[kind]
    (tmp_path / "a.png").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=why) as caught:
            read_grey(tmp_path / "a.png")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{tmp_path / 'a.png'}: ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_the_largest_picture_takes_little_memory(mode, tmp_path):
    Image.new(mode, (4000, 4000)).save(tmp_path / "large.png")
    tracemalloc.start()
    grey = read_grey(tmp_path / "large.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (grey.shape, grey.max()) == ((4000, 4000), mode == "RGBA")
    assert peak < 120_000_000  # beside what Pillow decodes, 64 million bytes


def test_a_picture_for_which_memory_does_not_suffice_is_refused(tmp_path):
    program = f"""if True:
        import resource, pathlib, mnistlab.datasets.pictures as p
        from PIL import Image
        Image.new("RGB", (4000, 4000)).save({str(tmp_path / "large.png")!r})
        here = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (here + 40_000_000,) * 2)
        try:
            p.read_grey(pathlib.Path({str(tmp_path / "large.png")!r}))
        except p.DataError as error:
            print(error)
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'large.png'}: there is not enough memory for it (shrink it)\n"


def test_a_picture_is_the_same_in_one_block_and_in_many(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 200, (700, 1000, 4), dtype=np.uint8)  # dark: the ground is white
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    whole = read_grey(tmp_path / "whole.png")
    alpha = pixels[..., 3] / 255
    expected = pixels[..., :3] @ np.array([0.299, 0.587, 0.114]) / 255 * alpha + (1 - alpha)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-5)


def test_a_fifo_a_folder_and_a_missing_file_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, why in (("fifo", "not a regular file"), ("", "not a regular file|directory"), ("none", "no such file")):
        with pytest.raises(DataError, match=why):
            read_grey(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_damaged_picture_is_read_or_refused_but_never_crashes(kind, tmp_path):
    good, chance, refused = bytes_of(Image.open(io.BytesIO(GOOD)), kind), random.Random(7), list[str]()
    for _ in range(500):
        content = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / "a").write_bytes(content[: chance.randint(len(content) // 2, len(content))])
        try:
            assert read_grey(tmp_path / "a").ndim == 2
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in line for line in refused)
