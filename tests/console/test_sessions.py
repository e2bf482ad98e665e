"""Sessions: a session lasts for a limited time, and no other cookie is accepted."""

from edge_agent.console.sessions import IDLE_SECONDS, MAX_AGE_SECONDS, MAX_SESSIONS, Sessions, is_same


def test_a_session_lasts_while_it_is_used_up_to_a_limit():
    sessions = Sessions()
    cookie = sessions.begin(at=0.0)

    assert sessions.find(cookie, at=IDLE_SECONDS)
    assert sessions.find(cookie, at=2 * IDLE_SECONDS)
    assert not sessions.find(cookie, at=3 * IDLE_SECONDS + 1)
    assert not sessions.find(cookie, at=3 * IDLE_SECONDS + 1)


def test_a_cookie_in_constant_use_expires_too():
    sessions = Sessions()
    cookie = sessions.begin(at=0.0)
    for hour in range(int(MAX_AGE_SECONDS / 3600) + 1):
        assert sessions.find(cookie, at=3600.0 * hour)

    assert not sessions.find(cookie, at=MAX_AGE_SECONDS + 1)


def test_logging_out_ends_the_session():
    sessions = Sessions()
    cookie, other = sessions.begin(at=0.0), sessions.begin(at=0.0)
    sessions.end(cookie)

    assert cookie != other
    assert not sessions.find(cookie, at=1.0)
    assert sessions.find(other, at=1.0)


def test_the_number_of_sessions_is_bounded_and_the_least_recently_used_ends():
    sessions = Sessions()
    quiet, used = sessions.begin(at=0.0), sessions.begin(at=0.0)
    assert sessions.find(used, at=1.0)
    for _ in range(MAX_SESSIONS - 1):
        sessions.begin(at=2.0)

    assert not sessions.find(quiet, at=3.0)
    assert sessions.find(used, at=3.0)


def test_the_csrf_token_differs_for_every_cookie_and_every_run():
    sessions = Sessions()

    assert sessions.csrf("one") == sessions.csrf("one")
    assert sessions.csrf("one") != sessions.csrf("other")
    assert sessions.csrf("one") != Sessions().csrf("one")


def test_secrets_of_any_characters_and_length_are_compared():
    assert is_same("pässwörd\udcff", "pässwörd\udcff")
    assert not is_same("", "a")
    assert not is_same("a" * 10_000, "b")
