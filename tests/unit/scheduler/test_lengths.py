"""What is learned of answers' lengths."""

from actors.scheduler.lengths import Lengths


def test_unknown_user_is_expected_to_do_as_the_model_does() -> None:
    lengths = Lengths(default=200)
    assert lengths.predict("a", "m", 1_000) == 200
    for _ in range(50):
        lengths.learn("b", "m", 40)
    assert lengths.predict("a", "m", 1_000) == 40
    assert lengths.predict("a", "other", 1_000) == 200


def test_limit_of_the_request_caps_every_estimate() -> None:
    lengths = Lengths(default=200)
    lengths.learn("a", "m", 5_000)
    assert lengths.predict("a", "m", 16) == 16
    assert lengths.bound("m", 16) == 16
    lengths.learn("b", "m", 0)
    assert lengths.predict("b", "m", 16) == 1


def test_prediction_follows_a_user_who_changes() -> None:
    lengths = Lengths()
    for _ in range(20):
        lengths.learn("a", "m", 10)
    for _ in range(60):
        lengths.learn("a", "m", 500)
    assert 490 <= lengths.predict("a", "m", 1_000) <= 500


def test_bound_covers_nine_in_ten_and_forgets_old_ones() -> None:
    lengths = Lengths()
    for number in range(1_000):
        lengths.learn("a", "m", 1_000 if number % 20 == 0 else 100)
    assert 100 <= lengths.bound("m", 10_000) <= 128
    for _ in range(20_000):
        lengths.learn("a", "m", 2_000)
    assert 2_000 <= lengths.bound("m", 10_000) <= 2_500


def test_users_beyond_the_limit_are_forgotten_oldest_first() -> None:
    lengths = Lengths(users_max=2)
    for user, tokens in (("a", 10), ("b", 20), ("c", 30)):
        lengths.learn(user, "m", tokens)
    assert lengths.predict("c", "m", 100) == 30
    assert lengths.predict("b", "m", 100) == 20
    assert lengths.predict("a", "m", 100) != 10
