"""What the network is given of an image file is what a person sees in it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from nas.data.images.image_reader import middle, read_image
from nas.data.images.torchvision_import import torchvision
from spaces.notation.errors import UserError

RANDOM = np.random.default_rng(3)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COLOURS = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
SIXTEEN = RANDOM.integers(0, 2**16, (6, 5), dtype=np.uint16)
SIXTEEN[0, :2] = 0, 2**16 - 1


def seen(path: Path, mode: str = "RGB") -> np.ndarray:
    return np.asarray(read_image(path, mode)).astype(int)


def png(values: np.ndarray, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by the standard: `values` (H, W) or (H, W, C), `colour` its number of the kind of image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    "name, mode, options",
    [
        ("a.jpg", "RGB", {}),
        ("a.jpg", "L", {}),
        ("a.png", "RGB", {}),
        ("a.png", "L", {}),
        ("a.png", "P", {}),
        ("a.png", "1", {}),
        ("a.bmp", "RGB", {}),
        ("a.gif", "RGB", {}),
        ("a.webp", "RGB", {}),
        ("a.tif", "RGB", {}),
        ("a.jpg", "CMYK", {}),
        ("a.jpg", "RGB", {"icc_profile": SRGB}),
        ("a.png", "RGB", {"icc_profile": SRGB}),
    ],
)
@pytest.mark.parametrize("wanted", ["RGB", "L"])
def test_an_ordinary_image_is_read_as_before_to_the_bit(
    tmp_path: Path, name: str, mode: str, options: dict[str, bytes], wanted: str
) -> None:
    Image.fromarray(COLOURS).convert(mode).save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as file:
        np.testing.assert_array_equal(seen(tmp_path / name, wanted), np.asarray(file.convert(wanted)))


# how (row, column) of what is seen lies in the file, by the standard's words: row 0 is the visual top, right, bottom or left
TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: np.transpose,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].T,
    8: np.rot90,
}


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_photographs_are_turned_as_the_camera_noted(tmp_path: Path, ending: str) -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for number in (*TURNED, 0, 9):
        exif = Image.Exif()
        exif[274] = number
        grey = Image.fromarray(np.kron(40 * values, np.ones((16, 16), np.uint8)))
        grey.convert("RGB").save(tmp_path / f"a.{ending}", exif=exif)
        found = np.rint(seen(tmp_path / f"a.{ending}", "L")[8::16, 8::16] / 40)
        np.testing.assert_array_equal(found, TURNED.get(number, TURNED[1])(values), str(number))


def test_notes_of_a_camera_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    for exif in (b"Exif\0\0MM\0*" + b"\xff" * 50, b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0" + bytes(60_000)):
        Image.fromarray(COLOURS).save(tmp_path / "a.jpg", exif=exif)
        assert seen(tmp_path / "a.jpg").shape == COLOURS.shape


def test_sixteen_bits_are_the_same_picture_as_eight(tmp_path: Path) -> None:
    eight = SIXTEEN >> 8
    (tmp_path / "grey.png").write_bytes(png(SIXTEEN, 16, 0))
    (tmp_path / "grey.pgm").write_bytes(b"P5 5 6 65535\n" + SIXTEEN.astype(">u2").tobytes())
    Image.fromarray(SIXTEEN).save(tmp_path / "little.tif")
    Image.frombytes("I;16B", (5, 6), SIXTEEN.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    for name in ("grey.png", "grey.pgm", "little.tif", "big.tif"):
        np.testing.assert_array_equal(seen(tmp_path / name, "L"), eight, name)
        np.testing.assert_array_equal(seen(tmp_path / name), np.stack([eight] * 3, -1), name)
    colours = np.stack([SIXTEEN, SIXTEEN.T.reshape(6, 5), SIXTEEN[::-1]], -1)
    (tmp_path / "colours.png").write_bytes(png(colours, 16, 2))
    np.testing.assert_array_equal(seen(tmp_path / "colours.png"), colours >> 8)
    (tmp_path / "clear.png").write_bytes(png(SIXTEEN, 16, 0, (b"tRNS", struct.pack(">H", SIXTEEN[2, 2]))))
    np.testing.assert_array_equal(seen(tmp_path / "clear.png", "L"), np.where(SIXTEEN[2, 2] == SIXTEEN, 255, eight))


def test_twelve_bits_fill_the_range(tmp_path: Path) -> None:
    """As some cameras and scanners write TIFF: by the standard's tags, all whole numbers of 16 bits."""
    packed = bytes([0xFF, 0xF8, 0x00, 0x00, 0x0F, 0xFF])  # 4095, 2048, 0, 4095
    tags = {256: 2, 257: 2, 258: 12, 259: 1, 262: 1, 273: 8 + 2 + 9 * 12 + 4, 277: 1, 278: 2, 279: len(packed)}
    table = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + table + bytes(4) + packed)
    assert seen(tmp_path / "a.tif", "L").tolist() == [[255, 128], [0, 255]]


def tiff(values: np.ndarray, **tags: int) -> bytes:
    """An uncompressed TIFF file by the standard, of one strip a plane: `values` uint16 (H, W) or, in planes, (C, H, W)."""
    planes = values.reshape(-1, *values.shape[-2:])
    rows = {
        256: values.shape[-1],
        257: values.shape[-2],
        258: 16,
        259: 1,
        262: tags["photometric"],
        273: 0,
        277: len(planes),
        278: values.shape[-2],
        279: planes[0].nbytes,
        284: tags.get("planar", 1),
    }
    size = 8 + 2 + 12 * len(rows) + 4
    many, more = {258: [16] * len(planes), 273: [], 279: [planes[0].nbytes] * len(planes)}, b""
    many[273] = [size + 12 * 3 + planes[0].nbytes * place for place in range(len(planes))]
    table = b""
    for tag, value in rows.items():
        found = many.get(tag, [value])
        packed = struct.pack(f"<{len(found)}{'H' if tag == 258 else 'I'}", *found)
        kind = 3 if tag == 258 else 4
        inside = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", size + len(more))
        more += b"" if len(packed) <= 4 else packed.ljust(12, b"\0")
        table += struct.pack("<HHI", tag, kind, len(found)) + inside
    head = b"II*\0" + struct.pack("<IH", 8, len(rows)) + table + bytes(4) + more
    return head.ljust(size + 12 * 3, b"\0") + planes.astype("<u2").tobytes()


def test_sixteen_bits_of_which_none_is_white(tmp_path: Path) -> None:
    """As X-rays are saved: TIFF's photometric interpretation 0."""
    for photometric, expected in ((1, SIXTEEN >> 8), (0, 255 - (SIXTEEN >> 8))):
        (tmp_path / "a.tif").write_bytes(tiff(SIXTEEN, photometric=photometric))
        np.testing.assert_array_equal(seen(tmp_path / "a.tif", "L"), expected)


def test_deep_colours_that_pillow_reads_as_others_are_refused_by_name(tmp_path: Path) -> None:
    """Planes of 16 bits in TIFF, which it takes for 8; and JPEG 2000, where its rounding makes white black."""
    (tmp_path / "a.tif").write_bytes(tiff(np.stack([SIXTEEN] * 3), photometric=2, planar=2))
    Image.fromarray(COLOURS).save(tmp_path / "a.jp2", format="JPEG2000")
    np.testing.assert_array_equal(seen(tmp_path / "a.jp2"), COLOURS)
    data = bytearray((tmp_path / "a.jp2").read_bytes())
    sizes = data.index(b"\xff\x4f\xff\x51") + 42
    data[sizes : sizes + 9 : 3] = bytes([11] * 3)  # of each component: one less than its bits
    (tmp_path / "a.jp2").write_bytes(data)
    for name in ("a.tif", "a.jp2"):
        with pytest.raises(UserError, match=f"more than 8 bits .*{name} are; save it with 8 bits"):
            read_image(tmp_path / name)


def test_what_is_no_image_is_told_by_how_it_begins(tmp_path: Path) -> None:
    for begins, says in (
        (b"<!DOCTYPE html>", "begins with '<!DOCTYPE html>'"),
        (b"\0\0\0\x18ftypheic", "ftypheic"),
        (b"version https://git-lfs.github.com", "version https://'"),
    ):
        (tmp_path / "a.jpg").write_bytes(begins)
        with pytest.raises(UserError, match=says) as error:
            read_image(tmp_path / "a.jpg")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_white_are_refused_by_name(tmp_path: Path, kind: type) -> None:
    Image.fromarray(SIXTEEN.astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"8 or 16 bits, but .*a\.tif has 32"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, ending: str) -> None:
    alpha = RANDOM.integers(0, 256, (6, 5, 1), dtype=np.uint8)
    alpha[:2] = [[[0]], [[255]]]
    options = {"exact": True, "lossless": True} if ending == "webp" else {}
    Image.fromarray(np.concatenate([COLOURS, alpha], -1)).save(tmp_path / f"a.{ending}", **options)
    share = alpha / 255
    assert np.abs(seen(tmp_path / f"a.{ending}") - (COLOURS * share + 255 * (1 - share))).max() <= 0.5
    np.testing.assert_array_equal(seen(tmp_path / f"a.{ending}")[1], COLOURS[1])


def test_palettes_greys_and_single_colours_may_be_transparent(tmp_path: Path) -> None:
    grey, alpha = COLOURS[..., 0], COLOURS[..., 1]
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(tmp_path / "a.png")
    assert np.abs(seen(tmp_path / "a.png", "L") - (grey * (alpha / 255) + 255 - alpha)).max() <= 1
    image = Image.fromarray(grey % 4).convert("L")
    image.putpalette([9, 9, 9, 80, 80, 80, 160, 160, 160, 0, 0, 0])
    image.save(tmp_path / "b.png", transparency=3)
    image.save(tmp_path / "b.gif", transparency=3)
    for name in ("b.png", "b.gif"):
        np.testing.assert_array_equal(seen(tmp_path / name, "L"), np.array([9, 80, 160, 255])[grey % 4], name)
    clear = COLOURS[2, 2]
    (tmp_path / "c.png").write_bytes(png(COLOURS, 8, 2, (b"tRNS", struct.pack(">HHH", *clear.tolist()))))
    np.testing.assert_array_equal(seen(tmp_path / "c.png"), np.where((clear == COLOURS).all(-1, keepdims=True), 255, COLOURS))


def swapped() -> bytes:
    """A profile in which red stands for green and green for red: sRGB's with two tags exchanged."""
    return SRGB.replace(b"rXYZ", b"tmp!").replace(b"gXYZ", b"rXYZ").replace(b"tmp!", b"gXYZ")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_colours_are_those_of_the_embedded_profile(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    Image.fromarray(COLOURS).save(tmp_path / name, icc_profile=swapped(), **options)
    assert np.abs(seen(tmp_path / name) - COLOURS[..., [1, 0, 2]]).max() <= 2


def test_a_profile_that_is_damaged_or_of_another_kind_of_image_changes_nothing(tmp_path: Path) -> None:
    for profile in (b"no profile", swapped()[:200], bytes(300)):
        Image.fromarray(COLOURS).save(tmp_path / "a.png", icc_profile=profile)
        np.testing.assert_array_equal(seen(tmp_path / "a.png"), COLOURS)
    Image.fromarray(COLOURS[..., 0]).save(tmp_path / "grey.png", icc_profile=swapped())
    np.testing.assert_array_equal(seen(tmp_path / "grey.png", "L"), COLOURS[..., 0])


def test_lab_is_converted(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.new("RGB", (4, 4), (200, 30, 60)), srgb, lab, outputMode="LAB")
    assert image is not None
    image.save(tmp_path / "a.tif")
    assert np.abs(seen(tmp_path / "a.tif") - [200, 30, 60]).max() <= 2


def test_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "blue")]
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **({"lossless": True} if "webp" in name else {}))
        assert seen(tmp_path / name)[0, 0].tolist() == [255, 0, 0], name


def test_a_bomb_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    whole = png(np.zeros((1, 1)), 8, 0)
    for side in (20_000, 6_000):  # the second takes 36 MB, out of 60 bytes
        ihdr = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        (tmp_path / "bomb.png").write_bytes(whole[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + whole[33:])
        with pytest.raises(UserError, match=r"at most 178,956,970 pixels, .*bomb\.png has more"):
            read_image(tmp_path / "bomb.png")
    stream = io.BytesIO()
    Image.fromarray(COLOURS).save(stream, "PDF")
    for content in (b"<html>404</html>", stream.getvalue(), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        (tmp_path / "page.jpg").write_bytes(content)
        with pytest.raises(UserError, match=r"page\.jpg is missing or damaged") as error:
            read_image(tmp_path / "page.jpg")
        assert "\n" not in str(error.value)


def test_a_damaged_tiff_is_one_message_and_libtiff_says_nothing_beside_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(COLOURS).resize((90, 90)).save(tmp_path / "a.tif", compression="tiff_lzw")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:2000] + b"\xff" * 200 + whole[2200:])
    with pytest.raises(UserError, match=r"a\.tif is missing or damaged"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_the_middle_is_torchvisions_and_of_a_strip_only_what_is_needed_is_scaled() -> None:
    transforms = torchvision().transforms
    for size in ((40, 30), (8, 300), (31, 31), (1, 1), (1, 64)):
        image = Image.fromarray(RANDOM.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        expected = transforms.CenterCrop((12, 10))(transforms.Resize(14)(image))
        np.testing.assert_array_equal(np.asarray(middle(image, 12, 10, 1.15)), np.asarray(expected), str(size))
    strip = Image.new("L", (60_000, 1), 7)  # scaled whole to a height of 400 it would take 10 GB
    assert middle(strip, 400, 400).size == (400, 400)
