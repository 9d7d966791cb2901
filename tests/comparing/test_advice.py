"""What is advised, from points alone."""

import math

from engine.comparing.advice import advise

from .points import facts, point

INFINITE = math.inf


def lossless(method, size, **changed):
    return point(
        method, size, INFINITE, setting="lossless", bound=0.0, max_abs_error=0.0, **changed
    )


def bounded(method, size, psnr_db, bound, error=None, **changed):
    error = bound if error is None else error
    return point(method, size, psnr_db, bound=bound, max_abs_error=error, **changed)


def line(points, start, **changed):
    (found,) = [text for text in advise(points, facts(**changed)) if text.startswith(start)]
    return found


def test_the_smallest_that_meets_a_level_is_named_and_the_next_beside_it():
    points = [point("JPEG", 40, 26.0), point("WebP", 30, 25.5), point("JPEG", 20, 24.0)]
    text = line(points, "At 25 dB")
    assert "WebP (to 25.5 dB) needs 30 bytes a sample, 26.1 times less than raw" in text
    assert "JPEG (to 26.0 dB), 26.0 dB, needs 33% more" in text
    assert "JPEG (to 24.0 dB) needs 20 bytes" in line(points, "At 20 dB")


def test_speed_is_said():
    points = [
        point("slow", 30, 26, decode_samples_per_s=1e3),
        point("fast", 30.5, 26, decode_samples_per_s=5e3),
    ]
    assert "fast (to 26 dB), 26.0 dB, needs as much and decodes 5.0 times as fast" in line(
        points, "At 25 dB"
    )


def test_a_bound_counts_only_where_it_was_promised_and_kept():
    points = [
        bounded("SZ3", 50, 40.0, 2.0),
        bounded("broken", 10, 40.0, 2.0, error=2.5),
        point("lucky", 20, 40.0, max_abs_error=1.0),
        lossless("zstd", 90),
    ]
    assert "SZ3" in line(points, "With no element off by more than 2")
    assert "zstd (lossless) needs 90 bytes" in line(points, "Without any loss")
    assert "broken" not in line(points, "With no element off by more than 2")


def test_a_lossless_codec_wins_where_it_is_smaller_than_lossy_ones():
    points = [point("JPEG", 60, 26.0), lossless("zstd", 40)]
    assert "zstd (lossless) needs 40 bytes" in line(points, "At 25 dB")


def test_a_decoder_counts_for_the_samples_that_share_it():
    points = [
        point("WebP", 30, 26.0),
        point("my.codec", 20, 26.0, is_ours=True, decoder_bytes=150_000, metadata_bytes=50_000),
    ]
    text = line(points, "At 25 dB", for_samples=10_000)
    assert text.startswith("At 25 dB or better: WebP")
    assert "my.codec (to 26.0 dB), 26.0 dB, needs 33% more" in text
    assert text.endswith("; it is smaller from 20,000 samples on.")
    assert "my.codec (to 26.0 dB) needs 21 bytes" in line(points, "At 25 dB", for_samples=200_000)
    points[0] = point("WebP", 15, 26.0)
    assert "it stays larger however many samples there are" in line(points, "At 25 dB")
    points.append(point("JPEG", 16, 26.0))
    assert "; my.codec (to 26.0 dB) needs 40 bytes here, and stays" in line(points, "At 25 dB")


def test_vectors_are_judged_by_recall():
    points = [
        point("PQ", 48, 20.0, recall_at_10=0.82, cosine_similarity=0.95),
        point("SQ8", 384, 40.0, recall_at_10=0.995, cosine_similarity=0.999),
    ]
    lines = advise(points, facts(sample_bytes=1536))
    assert not any(text.startswith("At ") for text in lines)
    assert "SQ8" in line(points, "With recall@10 of 0.90 or better")
    assert "recall@10 0.995, cosine 0.9990" in line(points, "With recall@10 of 0.99 or better")


def test_the_summary_says_how_often_a_latent_store_wins():
    theirs = [point("WebP", 30, 26.0), point("WebP", 60, 31.0)]
    assert advise(theirs, facts())[-1].startswith("No codec of ours was measured")
    smaller = [point("mine", 10, 26.0, is_ours=True), point("mine", 20, 31.0, is_ours=True)]
    assert "smallest at every level" in advise([*theirs, *smaller], facts())[-1]
    assert "smallest at 1 of 2 levels" in advise([*theirs, smaller[0]], facts())[-1]
    larger = [point("mine", 90, 31.0, is_ours=True)]
    assert "smallest at no level" in advise([*theirs, *larger], facts())[-1]


def test_nothing_measured_is_no_advice():
    assert advise([], facts()) == ("Nothing could be measured on this data: no codec took it.",)


def test_few_levels_are_enough():
    points = [bounded("SZ3", 100 - at, 90.0 - at, float(at)) for at in range(1, 80)]
    lines = advise(points, facts())
    assert sum(text.startswith("With no element") for text in lines) == 4
    assert sum(text.startswith("At ") for text in lines) == 4


def test_what_is_no_smaller_than_raw_is_not_called_so():
    assert "about as much as raw" in line([lossless("zstd", 780)], "Without any loss")
    assert "1.5 times as much as raw" in line([lossless("zstd", 1176)], "Without any loss")


def test_the_linear_codec_is_what_others_of_ours_are_held_against():
    linear = [ours("klt", size, psnr) for size, psnr in ((10, 20.0), (20, 25.0), (40, 30.0))]
    better = [ours("transform", size * 0.8, psnr) for size, psnr in ((14.14, 22.5), (28.28, 27.5))]
    lines = advise([*linear, *better], facts())
    assert "transform saves 20% of the bytes of the linear codec at equal quality" in lines[-3]
    worse = [ours("transform", size * 1.1, psnr) for size, psnr in ((14.14, 22.5), (28.28, 27.5))]
    assert any("prefer klt" in text for text in advise([*linear, *worse], facts()))
    apart = [ours("transform", 90, 50.0), ours("transform", 99, 55.0)]
    assert not any("linear" in text for text in advise([*linear, *apart], facts()))


def test_the_commands_for_a_winner_are_given():
    points = [ours("transform", 10, 20.4), point("WebP", 30, 26.0)]
    text = line(points, "To write")
    assert "engine train digits.npy my.codec --arch transform --target-bytes 20" in text
    assert text.endswith("engine compress digits.npy my.zarr --codec my.codec --step 1.4")
    given = point("my.codec", 10, 20.4, is_ours=True, setting="step 2")
    assert not any("To write" in text for text in advise([given], facts()))


def ours(method, size, psnr_db):
    return point(method, size, psnr_db, is_ours=True, setting="20 B, step 1.4")
